import CPU
import Foundation
import Hardware
import Testing

@testable import Machine

/// The debugger over a whole board whose firmware is a few instructions of the test's.
@Suite("debugger · engine") struct DebuggerTests {
    /// From F000:0000 on, reached from FFFF0:
    ///
    ///     0000  mov ax, 0 / mov ds, ax / mov ss, ax / mov sp, 7000
    ///     000A  mov word [40], 0100 / mov word [42], F000       vector 10
    ///     0016  mov cx, 3
    ///     0019  mov ah, 0E / mov al, cl / int 10                the loop
    ///     001F  call 0040
    ///     0022  loop 0019
    ///     0024  mov [3000], 1234 / out 80, al / hlt / jmp 002C
    ///     0040  inc bx / ret
    ///     0100  push ax / pop ax / iret
    static let code: [(Int, [UInt8])] = [
        (0x0000, [0xB8, 0, 0, 0x8E, 0xD8, 0x8E, 0xD0, 0xBC, 0, 0x70]), (0x000A, [0xC7, 0x06, 0x40, 0, 0, 1, 0xC7, 0x06, 0x42, 0, 0, 0xF0]),
        (0x0016, [0xB9, 3, 0]), (0x0019, [0xB4, 0x0E, 0x88, 0xC8, 0xCD, 0x10]), (0x001F, [0xE8, 0x1E, 0]), (0x0022, [0xE2, 0xF5]),
        (0x0024, [0xC7, 0x06, 0, 0x30, 0x34, 0x12, 0xE6, 0x80, 0xF4, 0xEB, 0xFD]), (0x0040, [0x43, 0xC3]), (0x0100, [0x50, 0x58, 0xCF]),
        (0xFFF0, [0xEA, 0, 0, 0, 0xF0]),
    ]
    static let bios: [UInt8] = {
        var image = [UInt8](repeating: 0xF4, count: 1 << 16)
        for (at, bytes) in code { image.replaceSubrange(at..<(at + bytes.count), with: bytes) }
        return image
    }()

    private func board(translates: Bool = false, cpus: Int = 1) throws -> PC {
        var settings = BoardSettings(bios: DebuggerTests.bios, vgaBIOS: [])
        settings.ramMiB = 2
        settings.cpus = cpus
        if translates { settings.translation = TranslationSettings(threshold: 2, codeBytes: 4 << 20) }
        return try PC(settings)
    }

    /// Lets the machine go until it stands; nil: it did not stop within a million instructions.
    private func run(_ debugger: Debugger, _ how: DebugRun = .resume) -> DebugStop? {
        #expect(debugger.go(how) == nil)
        for _ in 0..<200 {
            let (stop, _) = debugger.slice(50_000)
            if let stop = debugger.pending {
                debugger.stopped(stop)
                return stop
            }
            if case .halted = stop { return nil }
        }
        return nil
    }

    private func does(_ debugger: Debugger, _ line: String) throws -> [String] {
        let lines = try debugger.perform(line)
        #expect(debugger.wanted == nil, "\(line)")
        return lines
    }

    @Test("a trace with operands alone ends when it is switched off; real-mode offsets have four digits") func traceWithMemory() throws {
        try withTemporaryFolder { folder in
            let debugger = Debugger(pc: try board())
            debugger.folder = folder
            #expect(try does(debugger, "trace-mem on t.txt").first?.hasPrefix("The trace goes to") == true)
            _ = run(debugger, .step(count: 7))
            #expect(try does(debugger, "trace-mem off") == ["The trace is in '\(folder)/t.txt'."])
            _ = run(debugger, .step(count: 3))
            let lines = String(decoding: try WholeFile.read(folder + "/t.txt", what: "trace"), as: UTF8.self).split(separator: "\n")
            #expect(lines.count == 7, "\(lines)")
            #expect(lines.last?.hasPrefix("0 6 F000:0010 mov word ptr [0x42], 0xf000") == true && lines.last?.contains("[0042]=0") == true, "\(lines)")
        }
    }

    @Test("a watch stops at what the floppy's DMA writes: the boot sector, on its way to 7C00", arguments: [false, true])
    func deviceWrites(translates: Bool) throws {
        var settings = BoardSettings(bios: try FirmwareFiles.load(FirmwareFiles.biosName), vgaBIOS: try FirmwareFiles.load(FirmwareFiles.vgaName))
        settings.ramMiB = 4
        settings.bootOrder = "a"
        if translates { settings.translation = TranslationSettings(threshold: 2, codeBytes: 4 << 20) }
        let debugger = Debugger(pc: try PC(settings))
        try withTemporaryFolder { folder in
            // jmp $ as a boot sector.
            var image = [UInt8](repeating: 0, count: 1_474_560)
            image.replaceSubrange(0..<2, with: [0xEB, 0xFE])
            image.replaceSubrange(510..<512, with: [0x55, 0xAA])
            try WholeFile.write(image, to: folder + "/a.img", what: "floppy")
            var run = RunSettings()
            run.floppy = folder + "/a.img"
            debugger.pc.media = try MediaShelf(run).bays
            #expect(try does(debugger, "watch w 0:7dfe 2").count == 1)
            // The firmware clears the place first, by instructions.
            var stop: DebugStop?
            #expect(debugger.go(.resume) == nil)
            for _ in 0..<100_000 where stop?.text.contains("DMA") != true {
                _ = debugger.slice(50_000)
                guard let pending = debugger.pending else { continue }
                stop = pending
                debugger.stopped(pending)
                #expect(debugger.go(.resume) == nil)
            }
            let found = try #require(stop)
            #expect(found.text.hasPrefix("Breakpoint 1: write of 2 at ") && found.text.contains("7DFE by a device (DMA), before "), "\(found.text)")
            #expect(found.access == .init(address: 0x7DFE, bytes: 2, isWrite: true))
            #expect(debugger.pc.processor?.peek(0x7DFE, count: 2).bytes == [0x55, 0xAA])
        }
    }

    @Test("steps, steps over and out, in both engines", arguments: [false, true])
    func steps(translates: Bool) throws {
        let debugger = Debugger(pc: try board(translates: translates))
        #expect(run(debugger, .step(count: 1))?.offset == 0)
        #expect(run(debugger, .step(count: 8))?.offset == 0x1B)
        #expect(run(debugger, .step(count: 1))?.offset == 0x1D)
        let interrupt = try #require(run(debugger, .step(count: 1)))
        #expect(interrupt.offset == 0x100 && interrupt.selector == 0xF000)
        #expect(run(debugger, .out)?.offset == 0x1F)
        #expect(run(debugger, .over)?.offset == 0x22)
        #expect(run(debugger, .step(count: 1))?.offset == 0x19)
        #expect(run(debugger, .step(count: 2))?.offset == 0x1D)
        #expect(run(debugger, .over)?.offset == 0x1F)
        #expect(run(debugger, .step(count: 1))?.offset == 0x40)
        #expect(run(debugger, .out)?.offset == 0x22)
        // LOOP is stepped over to its end.
        #expect(run(debugger, .over)?.offset == 0x24)
        #expect(run(debugger, .untilBranch) == nil)
    }

    @Test("until a place, a branch, so many instructions") func until() throws {
        let debugger = Debugger(pc: try board())
        #expect(run(debugger, .to(.text("f000:22")))?.offset == 0x22)
        #expect(run(debugger, .untilBranch)?.offset == 0x19)
        #expect(run(debugger, .to(.linear(0xF_0040)))?.offset == 0x40)
        #expect(run(debugger, .to(.far(selector: 0xF000, offset: 0x19)))?.offset == 0x19)
        #expect(debugger.go(.to(.text("nowhere"))) != nil)
    }

    @Test("breakpoints with conditions, counts, logs, commands", arguments: [false, true])
    func breakpoints(translates: Bool) throws {
        let debugger = Debugger(pc: try board(translates: translates))
        var said: [String] = []
        debugger.say = { said.append($0) }
        #expect(try does(debugger, "bpint 10 0e if al == 2").count == 1)
        _ = try does(debugger, "b f000:40")
        _ = try does(debugger, "bplog 2 \"bx={bx} {cx:d}\"")
        _ = try does(debugger, "bpdo 2 calc bx")
        let first = try #require(run(debugger))
        #expect(first.number == 1 && first.offset == 0x100 && first.text.contains("INT 10") && first.text.contains("F000:001D"))
        #expect(debugger.breakpoints[0].hits == 1 && debugger.breakpoints[1].hits == 1)
        #expect(said == ["bx=0 3", "0x0  0"])
        _ = try does(debugger, "condition 1")
        _ = try does(debugger, "ignore 1 1")
        #expect(run(debugger) == nil)
        #expect(debugger.breakpoints[0].hits == 2 && debugger.breakpoints[1].hits == 3)
        #expect(throws: ExpressionError.self) { try debugger.perform("b 0:0 if (") }
        #expect(throws: ExpressionError.self) { try debugger.perform("bpint") }
        #expect(throws: ExpressionError.self) { try debugger.perform("delete 9") }
        _ = try does(debugger, "bpdel *")
        #expect(debugger.breakpoints.isEmpty)
    }

    @Test("memory, ports, temporary ones, as DOSBox, Bochs and WinDbg spell them", arguments: [false, true])
    func kinds(translates: Bool) throws {
        let debugger = Debugger(pc: try board(translates: translates))
        for line in ["bpm 0:3000", "bpio 80 w", "tbreak f000:22", "ba w2 3000", "watch r 0x40 2"] { _ = try does(debugger, line) }
        _ = try does(debugger, "bpd 4")
        let first = try #require(run(debugger)), vector = try #require(run(debugger))
        // INT reads its vector with one access of four bytes.
        #expect([first.number, vector.number].contains(5))
        var stops = [first, vector]
        while let stop = run(debugger), stops.count < 10 { stops.append(stop) }
        #expect(stops.compactMap(\.number).filter { $0 == 3 } == [3])
        #expect(stops.suffix(2).map(\.number) == [1, 2])
        let write = try #require(stops.first { $0.number == 1 })
        #expect(write.access == .init(address: 0x3000, bytes: 2, isWrite: true) && write.offset == 0x2A && write.text.contains("= 1234"))
        #expect(debugger.breakpoints.count == 4)
    }

    @Test("a run with breakpoints that go on, and one in single steps, end in the same state", arguments: [false, true])
    func determinism(translates: Bool) throws {
        func end(_ prepare: (Debugger) throws -> Void, _ how: DebugRun) throws -> String {
            let debugger = Debugger(pc: try board(translates: translates, cpus: 2))
            try prepare(debugger)
            #expect(debugger.go(how) == nil)
            var left: Int64 = 40
            for _ in 0..<100_000 where left > 0 {
                let before = debugger.pc.retired
                _ = debugger.slice(left)
                left -= Int64(debugger.pc.retired - before)
                if let stop = debugger.pending {
                    debugger.stopped(stop)
                    #expect(debugger.go(how) == nil)
                }
            }
            return debugger.pc.digest()
        }
        let plain = try end({ _ in }, .resume)
        let stopped = try end(
            { debugger in
                for line in ["b f000:40", "b f000:19", "bpint 10", "watch rw 0:40 4", "bpio 80", "trace-ring on"] { _ = try debugger.perform(line) }
                _ = try debugger.perform("bpgo 2 on")
            }, .resume)
        let stepped = try end({ _ in }, .step(count: 1))
        #expect(plain == stopped && plain == stepped)
    }

    @Test("code is shown with marks, targets and values, and backwards from where it was carried out") func code() throws {
        let debugger = Debugger(pc: try board())
        debugger.symbols.add([(0xF_0040, "count"), (0xF_0019, "again")])
        _ = try does(debugger, "b count")
        _ = run(debugger, .to(.linear(0xF_001F)))
        let processor = try #require(debugger.processor(nil))
        let lines = debugger.disassemble(processor, at: 0xF_001F, before: 5, count: 3)
        #expect(lines.map(\.offset) == [0x13 - 3, 0x16, 0x19, 0x1B, 0x1D, 0x1F, 0x22, 0x24])
        #expect(lines[5].isCurrent && lines[5].text == "call count" && lines[5].target == 0xF_0040)
        #expect(lines[2].label == "again" && lines[6].text == "loop again")
        #expect(debugger.disassemble(processor, at: 0xF_0040, before: 0, count: 1)[0].breakpoint == 1)
        let shown = debugger.lines(lines)
        #expect(shown.contains { $0.hasPrefix("> F000:001F") && $0.hasSuffix("call count ↓") }, "\(shown)")
        // The last instruction of the page before, and where there is no memory.
        #expect(debugger.disassemble(processor, at: 0, before: 4, count: 2).count <= 6)
        #expect(debugger.disassemble(processor, at: .max, before: 2, count: 2).count >= 2)
    }

    @Test("memory is read without effect and written, physical and linear; windows of registers are not read") func memory() throws {
        let debugger = Debugger(pc: try board())
        _ = try does(debugger, "eb 0:500 41 42 \"CD\"")
        let reply = debugger.answer(DebugRequest([
            .memory(.physical(0x500), count: 4, vcpu: nil), .memory(.text("0:500"), count: 2, vcpu: 0), .memory(.linear(0xFEE0_0000), count: 16, vcpu: nil),
            .memory(.linear(0), count: 1 << 17, vcpu: nil), .registers(vcpu: 7), .poke(.linear(0x600), bytes: [1, 2], vcpu: nil),
            .evaluate("word [0x600]", vcpu: nil),
            .setRegister(name: "cs", value: 0x1_0000, vcpu: nil),
        ]))
        #expect(reply.answers[0] == .memory(DebugMemory(address: 0x500, isPhysical: true, bytes: Array("ABCD".utf8))))
        #expect(reply.answers[1] == .memory(DebugMemory(address: 0x500, isPhysical: false, bytes: Array("AB".utf8))))
        guard case .memory(let window) = reply.answers[2] else {
            Issue.record("no window")
            return
        }
        #expect(window.missing == [0..<16])
        for n in [3, 4, 7] { if case .failure = reply.answers[n] { continue } else { Issue.record("answer \(n) is \(reply.answers[n])") } }
        #expect(reply.answers[5] == .done && reply.answers[6] == .value(0x201))
        #expect(try does(debugger, "find 0:0 1000 \"BCD\"") == ["0000000000000501"])
        #expect(try does(debugger, "x /2hx 0x500") == ["00000500: 0x4241 0x4443"])
    }

    @Test("requests and replies keep all 64 bits on the wire") func wire() throws {
        let request = DebugRequest([
            .setRegister(name: "rax", value: .max, vcpu: nil),
            .poke(.linear(.max - 1), bytes: [1, 255], vcpu: 1), .go(.step(count: 3)),
        ], waits: true)
        #expect(try DebugWire.value(DebugWire.text(request)) == request)
        let debugger = Debugger(pc: try board())
        let all: [DebugQuery] = [
            .registers(vcpu: nil), .memory(.linear(0xF_0000), count: 300, vcpu: nil), .disassembly(nil, before: 3, count: 5, bits: nil, vcpu: nil),
            .breakpoints,
            .branches, .history(count: 10), .table(.ivt, vcpu: nil), .table(.gdt, vcpu: nil), .walk(linear: 1, vcpu: nil), .translations(vcpu: nil), .pci,
            .devices,
            .complete("b"), .command("help"),
        ]
        let reply = debugger.answer(DebugRequest(all))
        #expect(reply.answers.count == all.count && !reply.answers.contains { if case .failure = $0 { true } else { false } })
        #expect(try DebugWire.value(DebugWire.text(reply)) == reply)
    }

    @Test("every name of a command is its own, and every abbreviation leads to it") func table() {
        var seen: Set<String> = []
        for command in DebugCommand.all {
            for name in [command.name] + command.aliases { #expect(seen.insert(name).inserted, "\(name) twice") }
            #expect(DebugCommand.find(command.name)?.name == command.name && !command.help.isEmpty && !command.help.hasSuffix("."))
        }
        #expect(DebugCommand.find("br")?.name == nil && DebugCommand.find("brea")?.name == "break" && DebugCommand.find("BPINT")?.name == "bpint")
    }

    @Test("commands of noise do no harm") func noise() throws {
        let debugger = Debugger(pc: try board())
        var seed: UInt64 = 3
        let words = [
            "0", "ffff:ffff", "-1", "*", "if", "r", "on", "/9999x", "\"", "[", "eax", "phys:0", "l10",
            "18446744073709551615", "0x7fffffffffffffff", "a:b", "{", "1",
        ]
        let unsafe: Set<String> = ["writemem", "loadmem", "trace", "trace-reg", "trace-mem", "show", "log", "source", "addlyt", "ldsym", "digest"]
        for command in DebugCommand.all where !unsafe.contains(command.name) {
            for _ in 0..<40 {
                var line = command.name
                for _ in 0..<Int(seed >> 62) + 1 {
                    seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    line += " " + words[Int(seed >> 40) % words.count]
                }
                _ = debugger.carryOut(line)
                _ = debugger.complete(line)
                debugger.wanted = nil
            }
            _ = debugger.delete(0)
        }
    }

    @Test("breakpoints stay with the machine") func kept() throws {
        try withTemporaryFolder { folder in
            var file = DebuggerFile()
            #expect(try DebuggerFile.read(in: folder) == nil)
            let debugger = Debugger(pc: try board())
            for line in ["bpint 21 4c if al == 0", "watch w 0:400 4", "b phys:fff0", "modebp", "bpio 60-64 r"] { _ = try debugger.perform(line) }
            file.breakpoints = debugger.breakpoints
            file.symbols = [.init(path: "/a/System.map", offset: .max)]
            try file.write(in: folder)
            let back = try #require(try DebuggerFile.read(in: folder))
            #expect(back.breakpoints == file.breakpoints && back.symbols == file.symbols)
            try Data("{\"breakpoints\": [1]}".utf8).write(to: URL(fileURLWithPath: folder + "/debugger.json"))
            #expect(throws: MachineError.self) { try DebuggerFile.read(in: folder) }
            try DebuggerFile().write(in: folder)
            #expect(try DebuggerFile.read(in: folder) == nil)
        }
    }
}
