import Foundation

/// What a machine keeps of its debugger: breakpoints and the files that its symbols come from.
struct DebuggerFile: Codable {
    static let name = "debugger.json"

    struct Symbols: Codable, Equatable, Sendable {
        var path: String
        var offset: UInt64
    }

    var breakpoints: [Breakpoint] = []
    var symbols: [Symbols] = []
    var isEmpty: Bool { breakpoints.isEmpty && symbols.isEmpty }

    /// nil: there is none.
    /// - Throws: `.badInput` with the path when it cannot be understood.
    static func read(in folder: String) throws(MachineError) -> DebuggerFile? {
        let path = folder + "/" + name
        guard access(path, F_OK) == 0 else { return nil }
        let bytes = try WholeFile.read(path, what: "debugger file", limit: 16 << 20)
        do {
            return try JSONDecoder().decode(DebuggerFile.self, from: Data(bytes))
        } catch {
            throw .badInput("The debugger file '\(path)' is not understood; delete it to start without breakpoints.")
        }
    }

    func write(in folder: String) throws(MachineError) {
        let path = folder + "/" + DebuggerFile.name
        guard !isEmpty else {
            if unlink(path) != 0, errno != ENOENT { throw .failed("The debugger file '\(path)' cannot be deleted: \(WholeFile.reason()).") }
            return
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let data: Data
        do { data = try encoder.encode(self) } catch { throw .failed("The breakpoints cannot be written: \(error.localizedDescription)") }
        try WholeFile.write(Array(data) + [0x0A], to: path, what: "debugger file")
    }
}
