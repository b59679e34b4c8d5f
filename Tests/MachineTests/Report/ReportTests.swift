import CPU
import Foundation
import Hardware
import Primitives
import Testing

@testable import Machine

@Suite("reports") struct ReportTests {
    private static let facts = MachineFacts(
        sentence: "triple fault: #GP while delivering #DF, because the IDT limit is 0",
        sections: [.init("Registers", ["EAX 00000001", "über"]), .init("Empty", []), .init("Screen", ["C:\\>"])])

    private static func contents() -> ReportFile.Contents {
        var contents = ReportFile.Contents()
        (contents.name, contents.facts, contents.configuration) = ("my DOS", facts, "[system]\nmemory = 8\n")
        (contents.log, contents.screen, contents.picture) = (Array("a line\n".utf8), "C:\\>\n", [0x89, 0x50])
        (contents.created, contents.instructions, contents.guestSeconds) = (1_700_000_000, 12, 0.5)
        return contents
    }

    @Test("what is written is read back, and says what it is") func roundTrip() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/r.tar"
            try WholeFile.write([UInt8](repeating: 7, count: 1000), to: folder + "/state", what: "file")
            var contents = ReportTests.contents()
            contents.state = folder + "/state"
            try ReportFile.write(contents, to: path)
            let report = try OpenedReport(path)
            #expect(report.facts == ReportTests.facts)
            #expect(report.head.contains("machine: my DOS\n") && report.head.contains("time: 2023-11-14T22:13:20Z"))
            #expect(report.head.contains("Guru Meditation: triple fault: #GP while delivering #DF, because the IDT limit is 0."))
            let names = ["report.txt", "facts.json", "facts.txt", "machine.toml", "log.txt", "screen.txt", "screen.png", "machine.state"]
            #expect(report.parts.map(\.name) == names)
            #expect(try report.part("machine.state") == [UInt8](repeating: 7, count: 1000))
            #expect(try report.part("screen.png") == [0x89, 0x50])
            #expect(String(decoding: try report.part("facts.txt"), as: UTF8.self).contains("--- Registers ---\nEAX 00000001\nüber\n"))
            #expect(throws: MachineError.self) { try report.part("nothing") }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == ["r.tar", "state"])
        }
    }

    @Test("tar opens it", .enabled(if: ["/usr/bin/tar", "/bin/tar"].contains { FileManager.default.isExecutableFile(atPath: $0) }, "tar is not installed"))
    func tar() throws {
        try withTemporaryFolder { folder in
            try ReportFile.write(ReportTests.contents(), to: folder + "/r.tar")
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            process.arguments = ["-c", "cd '\(folder)' && tar -xf r.tar"]
            try process.run()
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)
            #expect(try WholeFile.read(folder + "/machine.toml", what: "file") == Array("[system]\nmemory = 8\n".utf8))
        }
    }

    @Test("what is no report, is cut short or has another's parts is told in one sentence") func refused() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/r.tar"
            try ReportFile.write(ReportTests.contents(), to: path)
            let whole = try WholeFile.read(path, what: "file")
            let cases = [
                ([], "is not a report"), (Array("hello".utf8), "is not a report"), (Array(whole[..<600]), "cut short"), (Array(whole[..<1024]), "cut short"),
            ]
            for (bytes, words) in cases {
                try WholeFile.write(bytes, to: folder + "/bad", what: "file")
                let error = #expect(throws: MachineError.self) { try OpenedReport(folder + "/bad") }
                #expect(error?.kind == .badInput && error?.description.contains(words) == true, "\(error?.description ?? "")")
            }
            #expect(throws: MachineError.self) { try OpenedReport(folder) }
            #expect(throws: MachineError.self) { try OpenedReport(folder + "/none") }
        }
    }

    /// `VITRINE_MUTATIONS` says how many.
    private static let mutations = ProcessInfo.processInfo.environment["VITRINE_MUTATIONS"].flatMap { Int($0) } ?? 400

    @Test("reports with random bytes are read or refused, and never trap; nothing in them steers a terminal") func hostile() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/r.tar"
            try ReportFile.write(ReportTests.contents(), to: path)
            let whole = try WholeFile.read(path, what: "file")
            var random = SystemRandomNumberGenerator()
            for _ in 0..<ReportTests.mutations {
                var bytes = whole
                for _ in 0..<Int.random(in: 1...6, using: &random) {
                    let at = Int.random(in: 0..<bytes.count, using: &random)
                    switch Int.random(in: 0..<4, using: &random) {
                    case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
                    case 1: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...700, using: &random)))
                    case 2: bytes.insert(contentsOf: whole[..<Int.random(in: 1...600, using: &random)], at: at)
                    default:
                        // A header that is right but for what it says.
                        let block = at / 512 * 512
                        guard block + 512 <= bytes.count else { break }
                        for n in 124..<135 { bytes[block + n] = UInt8(0x30 + Int.random(in: 0...7, using: &random)) }
                        let sum = String(TarFormat.checksum(Array(bytes[block..<block + 512])), radix: 8)
                        let digits = String(repeating: "0", count: max(0, 6 - sum.count)) + sum
                        for (n, byte) in digits.utf8.prefix(6).enumerated() { bytes[block + 148 + n] = byte }
                    }
                    if bytes.isEmpty { bytes = [0] }
                }
                try WholeFile.write(bytes, to: folder + "/bad", what: "file")
                do {
                    let report = try OpenedReport(folder + "/bad")
                    let shown = report.head + report.facts.text
                    #expect(!shown.unicodeScalars.contains { $0 != "\n" && $0.properties.generalCategory == .control })
                    for part in report.parts { _ = try? report.part(part.name) }
                } catch {
                    #expect((error as? MachineError)?.kind == .badInput, "\(error)")
                }
            }
        }
    }

    @Test("the last instructions come first where they were written down, else the code around the place") func lastInstructions() throws {
        var settings = BoardSettings(bios: DebuggerTests.bios, vgaBIOS: [])
        settings.ramMiB = 2
        let debugger = Debugger(pc: try PC(settings))
        _ = debugger.pc.run(instructions: 10)
        func facts() -> MachineFacts { debugger.pc.facts(sentence: nil, screen: [], debugger: debugger) }
        // At INT 10, after MOV AL, CL.
        var code = try #require(facts()["Code"])
        #expect(facts()["Last instructions, the newest first"] == [])
        let present = try #require(code.firstIndex { $0.hasPrefix("> ") })
        #expect(code[present].contains("000f001d") && code[present].contains("cd 10") && code[present].hasSuffix("int 0x10"))
        #expect(present == 8 && code[present - 1].hasSuffix("mov al, cl") && code[present + 1].contains("call 0x40"), "\(code)")
        debugger.recorder.keepsRing = true
        debugger.attachRecorders()
        _ = debugger.pc.run(instructions: 4)
        code = try #require(facts()["Last instructions, the newest first"])
        #expect(code.map { $0.suffix(8).trimmingCharacters(in: .whitespaces) } == ["iret", "pop ax", "push ax", "int 0x10"], "\(code)")
        #expect(facts().sections.first?.title == "Last instructions, the newest first")
        let branches = try #require(facts()["Last branches, the newest first"])
        #expect(branches == ["int       000f001d → 000f0100"], "\(branches)")
        // All of them are in the report, the oldest first.
        try withTemporaryFolder { folder in
            var contents = ReportTests.contents()
            contents.lastInstructions = "one\ntwo\n"
            try ReportFile.write(contents, to: folder + "/r.tar")
            #expect(try OpenedReport(folder + "/r.tar").part("instructions.txt") == Array("one\ntwo\n".utf8))
        }
    }

    @Test("an instruction that is lacked is recorded whole") func lackedInHistory() throws {
        var settings = BoardSettings(bios: DebuggerTests.bios, vgaBIOS: [])
        settings.bios.replaceSubrange(0..<4, with: [0x0F, 0x38, 0xC8, 0xC1])
        settings.ramMiB = 2
        let debugger = Debugger(pc: try PC(settings))
        debugger.recorder.keepsRing = true
        debugger.attachRecorders()
        _ = debugger.pc.run(instructions: 2)
        let line = try #require(debugger.history(10).last)
        #expect(line.bytes == [0x0F, 0x38, 0xC8, 0xC1] && line.text == "sha1nexte xmm0, xmm1")
        #expect(debugger.pc.takeUndefined().map(\.offset) == [0])
    }

    @Test("an instruction that is lacked is named, with its bytes and its place; what raises #UD by design is not") func lacked() throws {
        func words(_ bytes: [UInt8], _ mode: ExecutionMode = .long, isModels: Bool = false) -> String? {
            LackedInstruction(UndefinedInstruction(selector: 8, offset: 0x10, mode: mode, bytes: bytes, isModels: isModels))?.sentence
        }
        #expect(
            words([0x0F, 0x38, 0xC8, 0xC1])
                == "the guest got #UD for 'sha1nexte xmm0, xmm1' (bytes 0f 38 c8 c1) at 0008:0000000000000010, an instruction that Vitrine lacks")
        #expect(
            words([0xC5, 0xF0, 0x58, 0xC2])?.hasSuffix("at 0008:0000000000000010, which its processor lacks; --cpu-model x86-64-v3 has it") == true)
        // The model has it, and nothing carries it out.
        #expect(words([0xC5, 0xF0, 0x58, 0xC2], isModels: true)?.hasSuffix("an instruction that Vitrine lacks") == true)
        #expect(words([0x0F, 0xA2], .real)?.hasSuffix("(bytes 0f a2) at 0008:0010, which its processor lacks; --cpu-model 486 has it") == true)
        // UD2, UD1, UD0; LOCK NOP; bytes that are nothing; a cut one.
        for bytes: [UInt8] in [[0x0F, 0x0B], [0x0F, 0xB9, 0xC0], [0x0F, 0xFF, 0xC0], [0xF0, 0x90], [0x0F, 0x04], [0x0F, 0x38]] {
            #expect(words(bytes) == nil, "\(bytes)")
        }
    }

    @Test("a machine that has died tells what it was, in a report with its state")
    func machine() throws {
        try withTemporaryFolder { folder in
            // lidt [7C10h] / int3 with an empty table, in the place of a boot sector.
            let code: [UInt8] = [0x0F, 0x01, 0x1E, 0x10, 0x7C, 0xCC, 0xEB, 0xFE] + [UInt8](repeating: 0, count: 16)
            var sector = code + [UInt8](repeating: 0, count: 1_474_560 - code.count)
            (sector[510], sector[511]) = (0x55, 0xAA)
            try WholeFile.write(sector, to: folder + "/a.img", what: "floppy")
            var settings = RunSettings()
            (settings.floppy, settings.memoryMiB, settings.headless, settings.clock) = (folder + "/a.img", 4, true, .virtual)
            let session = try RunSession(settings, keepsStuck: true, diagnose: { _ in })
            session.start()
            let machine = session.machine
            let end = Date().addingTimeInterval(60)
            while machine.view().state != .stuck, Date() < end { usleep(10_000) }
            #expect(machine.view().state == .stuck)
            let done = DispatchSemaphore(value: 0)
            let path = folder + "/report.tar"
            machine.saveReport(to: path) { error in
                #expect(error == nil, "\(error?.description ?? "")")
                done.signal()
            }
            done.wait()
            machine.post(.powerOff)
            #expect(session.finish() == 3)
            // Where the ring was off, the code around the place is what there is.
            #expect(try OpenedReport(path).facts["Code"]?.contains { $0.hasPrefix("> ") } == true)
            let report = try OpenedReport(path)
            #expect(report.facts.sentence == machine.view().outcome.flatMap { if case .guru(let sentence) = $0 { sentence } else { nil } })
            #expect(report.facts.sentence?.hasPrefix("triple fault: #GP while delivering #DF, because the IDT limit is 0; it began with") == true)
            #expect(report.facts["Registers"]?.contains { $0.hasPrefix("EIP 00007C05") || $0.hasPrefix("EIP 00007c05") } == true)
            #expect(report.facts["IVT"] != nil && report.facts["Stack"]?.count == 16 && report.facts["Device pit"]?.isEmpty == false)
            #expect(report.facts["Events"]?.isEmpty == false)
            #expect(String(decoding: try report.part("machine.toml"), as: UTF8.self).contains("memory = 4"))
            try WholeFile.write(try report.part("machine.state"), to: folder + "/machine.state", what: "state")
            #expect(try StateInfo.read(folder + "/machine.state").memoryMiB == 4)
        }
    }
}
