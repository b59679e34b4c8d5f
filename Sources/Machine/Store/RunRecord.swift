import Foundation

/// `run.json` in a machine's folder: who runs it. Written by the process that holds the run lock, removed by it at a clean end; a record
/// without a lock is what a crash leaves.
public struct RunRecord: Codable, Equatable, Sendable {
    public static let fileName = "run.json"

    public var pid: Int32
    /// Of the host, so that nothing of an earlier boot is believed.
    public var bootID: String
    /// Seconds since 1970.
    public var started: Double
    /// Of the control socket; empty: none yet.
    public var socket: String

    public init(pid: Int32, bootID: String, started: Double, socket: String) {
        self.pid = pid
        self.bootID = bootID
        self.started = started
        self.socket = socket
    }

    /// This process, now.
    public static func current(socket: String) -> RunRecord {
        RunRecord(pid: getpid(), bootID: hostBootID, started: Date().timeIntervalSince1970, socket: socket)
    }

    /// The kernel's name for this boot of the host; empty where it has none.
    public static let hostBootID: String = {
        guard let bytes = try? WholeFile.read("/proc/sys/kernel/random/boot_id", what: "boot id") else { return "" }
        return String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }()

    /// nil: there is none, or it is not one of ours.
    public static func read(_ folder: String) -> RunRecord? {
        guard let bytes = try? WholeFile.read(folder + "/" + fileName, what: "run record", limit: 1 << 16) else { return nil }
        return try? JSONDecoder().decode(RunRecord.self, from: Data(bytes))
    }

    /// - Throws: `.failed`; an older record is then untouched.
    public func write(in folder: String) throws(MachineError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        FolderWork.removeTemporaries(of: folder + "/" + RunRecord.fileName)
        guard let data = try? encoder.encode(self) else { throw .failed("The run record of '\(folder)' cannot be written.") }
        try WholeFile.write([UInt8](data) + [0x0A], to: folder + "/" + RunRecord.fileName, what: "run record")
    }

    public static func remove(from folder: String) { unlink(folder + "/" + fileName) }
}
