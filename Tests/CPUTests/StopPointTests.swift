import EmptyBoard
import Primitives
import Testing

@testable import CPU

/// What a debugger stops a processor at, in both engines and three modes.
@Suite("debugger · stop points") struct StopPointTests {
    /// Ports that remember what was written.
    final class Board: EmptyBoard {
        var written: [(Port, UInt32)] = []
        func readPort(_ port: Port, size: Int) -> UInt32 { 0x5A }
        func writePort(_ port: Port, size: Int, _ value: UInt32) { written.append((port, value)) }
                                }

    enum Mode: CaseIterable { case real, protected, long }
    struct Case: Sendable, CustomStringConvertible {
        var mode: Mode
        var translates: Bool
        var description: String { "\(mode), \(translates ? "translator" : "interpreter")" }
    }
    static let cases = Mode.allCases.flatMap { mode in [false, true].map { Case(mode: mode, translates: $0) } }

    let board = Board()

    /// A processor about to carry out `code` at linear 0x1000, with data at 0x3000 and a stack below 0x8000; vector 0x21 leads to 0x2000.
    func processor(_ one: Case, _ code: [UInt8]) throws -> Processor {
        let memory = try GuestMemory(ramBytes: 1 << 20, extraBytes: 4096)
        memory.setMap([.init(base: 0, bytes: 1 << 20, read: 0, write: 0)])
        let processor = Processor(
            memory: memory, bus: board, model: .level2, translation: one.translates ? TranslationSettings(threshold: 2, codeBytes: 4 << 20) : nil)
        memory.write(0x1000, code)
        memory.write(0x2000, [0x90, 0xF4])
        var state = processor.state
        for n in 0..<6 { state.seg[n] = Segment() }
        state.gpr[4] = 0x8000
        state.rip = 0x1000
        switch one.mode {
        case .real:
            state.seg[Seg.cs].attributes = 0x9B
            memory.store(0x84, 0x0000_2000 as UInt32)
        case .protected, .long:
            let long = one.mode == .long
            for n in 0..<6 {
                state.seg[n].limit = 0xFFFF_FFFF
                state.seg[n].attributes = 0xC093
                state.seg[n].selector = 0x10
            }
            state.seg[Seg.cs].attributes = long ? 0xA09B : 0xC09B
            state.seg[Seg.cs].selector = 8
            state.cr0 |= CR0.pe
            (state.gdtrBase, state.gdtrLimit, state.idtrBase, state.idtrLimit) = (0x500, 0x17, 0x600, 0xFFF)
            memory.store(0x508, long ? 0x00AF_9B00_0000_FFFF : 0x00CF_9B00_0000_FFFF as UInt64)
            memory.store(0x510, 0x00CF_9300_0000_FFFF as UInt64)
            memory.store(0x600 + 0x21 * (long ? 16 : 8), 0x0000_8E00_0008_2000 as UInt64)
            if long {
                state.cr4 |= CR4.pae
                state.cr0 |= CR0.pg
                state.efer = 0x500
                state.cr3 = 0x1_0000
                memory.store(0x1_0000, 0x1_1003 as UInt64)
                memory.store(0x1_1000, 0x1_2003 as UInt64)
                memory.store(0x1_2000, 0x83 as UInt64)
            }
        }
        processor.state = state
        return processor
    }

    /// INC EAX, 100 times: ECX counts down, the loop is at 0x1005.
    let loop: [UInt8] = [0xB9, 0, 0, 0, 0, 0xFF, 0xC0, 0xFF, 0xC9, 0x75, 0xFA, 0x90, 0xF4]

    func counted(_ one: Case) -> [UInt8] {
        var code = loop
        code[1] = 100
        if one.mode == .real { code = [0xB9, 100, 0, 0x90, 0x90] + code[5...] }
        return code
    }

    @Test("a place in a hot loop stops every time round, and passing it changes nothing", arguments: cases)
    func place(one: Case) throws {
        let plain = try processor(one, counted(one)), stopped = try processor(one, counted(one))
        #expect(plain.run(budget: 10_000) == .halted)
        var points = StopPoints()
        points.linear = [0x1007]
        stopped.stopPoints = points
        var stops = 0
        while true {
            let exit = stopped.run(budget: 10_000)
            guard exit == .debug else {
                #expect(exit == .halted)
                break
            }
            #expect(stopped.takeHits() == [.place(linear: 0x1007)])
            #expect(stopped.state.rip == 0x1007)
            #expect(stopped.state.gpr[0] & 0xFFFF == UInt64(stops + 1))
            stops += 1
            stopped.passPlace()
        }
        #expect(stops == 100)
        #expect(plain.retired == stopped.retired && plain.state.gpr[0] == stopped.state.gpr[0] && plain.eflags == stopped.eflags)
        // Without it the loop runs through at once.
        stopped.stopPoints = StopPoints()
        stopped.edit {
            $0.rip = 0x1000
            $0.halted = false
        }
        #expect(stopped.run(budget: 10_000) == .halted)
    }

    @Test("a place set while the loop is hot is met, by physical address and by selector and offset too", arguments: cases)
    func later(one: Case) throws {
        for kind in 0..<3 {
            let p = try processor(one, counted(one))
            #expect(p.run(budget: 150) == .budgetUsed)
            var points = StopPoints()
            switch kind {
            case 0: points.linear = [0x1009]
            case 1: points.physical = [0x1009]
            default: points.far = [.init(selector: p.state.seg[Seg.cs].selector, offset: 0x1009)]
            }
            p.stopPoints = points
            #expect(p.run(budget: 1000) == .debug)
            #expect(p.takeHits() == [.place(linear: 0x1009)] && p.state.rip == 0x1009)
            #expect(p.retired == 151 || p.retired == 152 || p.retired == 150)
        }
    }

    @Test("a step is one instruction", arguments: cases)
    func step(one: Case) throws {
        let p = try processor(one, counted(one))
        for n in 1...40 {
            #expect(p.run(budget: 1) == .budgetUsed)
            #expect(p.retired == UInt64(n))
        }
    }

    @Test("a watch stops after the instruction that writes, and reads do not count for it", arguments: cases)
    func watch(one: Case) throws {
        // 50 times: INC ECX; MOV DL, [EBX]; ADD [EBX], CL; CMP CL, 50; JNZ. In 16-bit code by prefix.
        let address: [UInt8] = one.mode == .real ? [0x67] : []
        let code: [UInt8] =
            [0xFF, 0xC1] + address + [0x8A, 0x13] + address + [0x00, 0x0B] + [0x80, 0xF9, 50, 0x75] + [UInt8(bitPattern: Int8(-(11 + 2 * Int8(address.count))))]
            + [0xF4]
        let p = try processor(one, code)
        p.edit { $0.gpr[3] = 0x3000 }
        p.memory.store(0x3000, 0 as UInt32)
        #expect(p.run(budget: 60) == .budgetUsed)
        var points = StopPoints()
        points.watches = [.init(first: 0x3000, last: 0x3000, reads: false, writes: true)]
        p.stopPoints = points
        var hits = 0
        while p.run(budget: 10_000) == .debug {
            let met = p.takeHits()
            #expect(met == [.memory(linear: 0x3000, physical: nil, bytes: 1, write: true)])
            // After the instruction: the next one is CMP CL.
            #expect(p.peek(p.state.rip, count: 1).bytes == [0x80])
            hits += 1
        }
        #expect(hits == 50 - 12)
        #expect(p.isHalted)
        points.watches = [.init(isPhysical: true, first: 0x2FF0, last: 0x3000, reads: true, writes: false)]
        p.stopPoints = points
        p.edit {
            $0.rip = 0x1000
            $0.gpr[1] = 0
            $0.halted = false
        }
        #expect(p.run(budget: 10_000) == .debug)
        #expect(p.takeHits().first == .memory(linear: 0x3000, physical: nil, bytes: 1, write: false))
        // The other page is not watched any more.
        p.stopPoints = StopPoints()
        #expect(p.run(budget: 10_000) == .halted)
    }

    @Test("ports stop after IN and OUT with the value", arguments: cases)
    func ports(one: Case) throws {
        let p = try processor(one, [0xB0, 7, 0xE6, 0x80, 0xE4, 0x60, 0xE6, 0x81, 0xF4])
        var points = StopPoints()
        points.ports = [.init(ports: 0x80...0x80, reads: true, writes: true), .init(ports: 0x60...0x64, reads: true, writes: false)]
        p.stopPoints = points
        #expect(p.run(budget: 100) == .debug)
        #expect(p.takeHits() == [.port(0x80, bytes: 1, write: true, value: 7)] && p.state.rip == 0x1004)
        #expect(p.run(budget: 100) == .debug)
        #expect(p.takeHits() == [.port(0x60, bytes: 1, write: false, value: 0x5A)] && p.state.rip == 0x1006)
        #expect(p.run(budget: 100) == .halted)
        #expect(board.written.count == 2)
    }

    @Test("INT stops at its handler and says where it came from; exceptions do", arguments: cases)
    func events(one: Case) throws {
        // MOV EAX, ...4C2A (AX in real mode); INT 21; then the handler at 2000: NOP, HLT.
        let load: [UInt8] = one.mode == .real ? [0xB8, 0x2A, 0x4C] : [0xB8, 0x2A, 0x4C, 0, 0]
        let p = try processor(one, load + [0xCD, 0x21])
        var points = StopPoints()
        points.software = [0x21]
        points.exceptions = [6]
        p.stopPoints = points
        #expect(p.run(budget: 100) == .debug)
        let at = 0x1000 + UInt64(load.count)
        #expect(
            p.takeHits() == [.event(.software, vector: 0x21, errorCode: nil, selector: one.mode == .real ? 0 : 8, offset: at, rax: 0x4C2A)])
        #expect(p.state.rip == 0x2000)
        #expect(p.run(budget: 100) == .halted)
    }

    @Test("xchg bx, bx stops behind itself while that is wanted", arguments: cases)
    func magic(one: Case) throws {
        let code: [UInt8] = one.mode == .real ? [0x90, 0x87, 0xDB, 0xF4] : [0x90, 0x66, 0x87, 0xDB, 0xF4]
        let p = try processor(one, code)
        #expect(p.run(budget: 100) == .halted)
        var points = StopPoints()
        points.magic = true
        p.stopPoints = points
        func again() { p.edit { ($0.rip, $0.halted) = (0x1000, false) } }
        again()
        #expect(p.run(budget: 100) == .debug)
        #expect(p.takeHits() == [.magic] && p.state.rip == 0x1000 + UInt64(code.count) - 1)
        p.stopPoints = StopPoints()
        again()
        #expect(p.run(budget: 100) == .halted)
    }

    @Test("a change of mode stops") func modes() throws {
        // MOV EAX, CR0; OR AL, 1; MOV CR0, EAX; HLT.
        let p = try processor(Case(mode: .real, translates: false), [0x0F, 0x20, 0xC0, 0x0C, 1, 0x0F, 0x22, 0xC0, 0xF4])
        var points = StopPoints()
        points.modes = true
        p.stopPoints = points
        #expect(p.run(budget: 100) == .debug)
        #expect(p.takeHits() == [.mode(from: .real, to: .protected16)] && p.state.rip == 0x1008)
    }

    @Test("a looking-up debugger sets no accessed bit and fills no TLB") func peeking() throws {
        let p = try processor(Case(mode: .long, translates: false), [0xF4])
        let before = p.memory.read(0x1_0000, count: 0x3000), held = p.heldTranslations.count
        #expect(p.peek(0x3000, count: 16).isWhole)
        #expect(p.peekWalk(0x20_0000).physical == nil)
        #expect(p.peek(0x1F_FFF0, count: 32).missing == [0..<32])
        #expect(p.memory.read(0x1_0000, count: 0x3000) == before && p.heldTranslations.count == held)
    }

    @Test("the recorder keeps instructions and branches, and changes nothing", arguments: cases)
    func recorder(one: Case) throws {
        let plain = try processor(one, counted(one)), recorded = try processor(one, counted(one))
        #expect(plain.run(budget: 10_000) == .halted)
        let recorder = ExecutionRecorder()
        recorded.recorder = recorder
        #expect(recorded.run(budget: 10_000) == .halted)
        #expect(plain.retired == recorded.retired && plain.state.gpr[0] == recorded.state.gpr[0])
        #expect(recorder.instructions.count == Int(recorded.retired))
        #expect(recorder.branches.count == 64 && recorder.branches.allSatisfy { $0.to == 0x1005 && $0.from.linear == 0x1009 })
        #expect(recorder.instructions.last?.bytes == [0xF4])
        recorded.recorder = nil
        recorded.edit { ($0.rip, $0.halted) = (0x1000, false) }
        #expect(recorded.run(budget: 10_000) == .halted)
    }

    @Test("a watch sees what a bus master writes, linear and physical; not what a debugger or the page walk writes", arguments: cases)
    func masters(one: Case) throws {
        let processor = try processor(one, [0x90, 0x90, 0x90, 0xEB, 0xFB])
        var points = StopPoints()
        points.watches = [.init(first: 0x3010, last: 0x3011, reads: false, writes: true)]
        processor.stopPoints = points
        #expect(processor.run(budget: 10) == .budgetUsed)
        // Beside it, over it, and one that only reads.
        processor.memory.write(0x3000, [UInt8](repeating: 1, count: 16))
        #expect(processor.run(budget: 10) == .budgetUsed)
        processor.memory.write(0x2FF0, [UInt8](repeating: 2, count: 0x100))
        let before = processor.retired
        #expect(processor.run(budget: 10) == .debug)
        #expect(processor.takeHits() == [.device(address: 0x3010, isPhysical: false, bytes: 2)] && processor.retired == before)
        #expect(processor.run(budget: 10) == .budgetUsed)
        points.watches = [
            .init(isPhysical: true, first: 0x2FFF, last: 0x3000, reads: false, writes: true), .init(first: 0x3010, last: 0x3011, reads: true, writes: false),
        ]
        processor.stopPoints = points
        processor.memory.write(0x2FF0, [UInt8](repeating: 3, count: 0x100))
        #expect(processor.run(budget: 10) == .debug)
        #expect(processor.takeHits() == [.device(address: 0x2FFF, isPhysical: true, bytes: 1), .device(address: 0x3000, isPhysical: true, bytes: 1)])
        #expect(processor.poke(0x2FF0, [UInt8](repeating: 4, count: 0x40)) == 0x40)
        #expect(processor.poke(physical: 0x2FF0, [UInt8](repeating: 4, count: 0x40)) == nil)
        #expect(processor.run(budget: 10) == .budgetUsed)
        // Nobody is asked any more.
        processor.stopPoints = StopPoints()
        #expect(!processor.memory.isWatched)
        processor.memory.write(0x2FF0, [UInt8](repeating: 5, count: 0x40))
        #expect(processor.run(budget: 10) == .budgetUsed)
        guard one.mode == .long else { return }
        // The page directory's own entry is marked as used by the walk.
        processor.memory.store(0x1_2008, 0x0020_0083 as UInt64)
        points.watches = [.init(isPhysical: true, first: 0x1_2008, last: 0x1_200F, reads: false, writes: true)]
        processor.stopPoints = points
        processor.edit { $0.rip = 0x20_0000 }
        _ = processor.run(budget: 1)
        #expect(processor.takeHits().isEmpty && processor.memory.load(0x1_2008, as: UInt64.self) & 0x20 != 0)
    }
}
