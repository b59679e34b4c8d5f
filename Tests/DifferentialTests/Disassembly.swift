import Foundation

/// ndisasm, when it is installed: the text of instructions in reports.
enum Disassembly {
    static func text(_ bytes: [UInt8], wide: Bool, at address: UInt32) -> String? {
        guard FileManager.default.isExecutableFile(atPath: "/usr/bin/ndisasm") else { return nil }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/ndisasm")
        process.arguments = ["-b", wide ? "32" : "16", "-o", String(address), "-"]
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = output
        guard (try? process.run()) != nil else { return nil }
        input.fileHandleForWriting.write(Data(bytes))
        input.fileHandleForWriting.closeFile()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        // Address, bytes, text.
        let words = text.split(separator: "\n").first?.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: true)
        return words.flatMap { $0.count == 3 ? $0[2].trimmingCharacters(in: .whitespaces) : nil }
    }
}
