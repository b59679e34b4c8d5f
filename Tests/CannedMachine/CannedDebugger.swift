import CPU
import Hardware
import Machine
import Synchronization

/// A debugger that is not there: a processor in a small loop whose EAX counts steps, for the console's tests.
public final class CannedDebugger: Sendable {
    struct Content: Sendable {
        var steps: UInt64 = 0
        var breakpoints: [Breakpoint] = []
        var pokes: [UInt64: UInt8] = [:]
        /// Requests as words.
        var log: [String] = []
    }
    private let content = Mutex(Content())

    public init() {}

    public var log: [String] { content.withLock { $0.log } }

    /// Where each instruction of the loop is.
    fileprivate static let code: [(offset: UInt64, bytes: [UInt8], text: String)] = [
        (0x7C00, [0xFA], "cli"), (0x7C01, [0x31, 0xC0], "xor ax, ax"), (0x7C03, [0x8E, 0xD8], "mov ds, ax"),
        (0x7C05, [0x66, 0x40], "inc eax"), (0x7C07, [0xA3, 0x00, 0x06], "mov word ptr [0x0600], ax"), (0x7C0A, [0xCD, 0x10], "int 0x10"),
        (0x7C0C, [0xE8, 0x03, 0x00], "call 0x7C12"), (0x7C0F, [0x75, 0xF4], "jnz 0x7C05"), (0x7C11, [0xF4], "hlt"),
        (0x7C12, [0x50], "push ax"), (0x7C13, [0x58], "pop ax"), (0x7C14, [0xC3], "ret"),
    ]

    /// - Returns: the reply, and where the machine stands after it; nil: it runs.
    func answer(_ request: DebugRequest, _ stop: DebugStop?) -> (DebugReply, DebugStop?) {
        content.withLock { content in
            var stop = stop
            let answers = request.queries.map { query -> DebugAnswer in
                content.log.append(CannedDebugger.words(query))
                return content.answer(query, &stop)
            }
            return (DebugReply(answers: answers, stop: stop), stop)
        }
    }

    private static func words(_ query: DebugQuery) -> String {
        switch query {
        case .command(let line): "command \(line)"
        case .go(let run): "go \(run)"
        case .poke(let place, let bytes, _): "poke \(place) \(bytes)"
        case .setBreakpoint(let breakpoint): "set \(breakpoint.kind)"
        case .deleteBreakpoint(let number): "delete \(number)"
        case .enableBreakpoint(let number, let on): "enable \(number) \(on)"
        case .memory(let place, let count, _): "memory \(place) \(count)"
        case .disassembly(let place, let before, let count, _, _): "code \(place.map { "\($0)" } ?? "here") \(before) \(count)"
        default: String("\(query)".prefix(40))
        }
    }

    fileprivate static func instruction(_ n: Int, current: Bool, breakpoint: Int?) -> DebugInstruction {
        let (offset, bytes, text) = code[n]
        var line = DebugInstruction(text, linear: offset, offset: offset, bytes: bytes, isCurrent: current)
        if n == 0 { line.label = "start" }
        line.breakpoint = breakpoint
        switch text.prefix(4) {
        case "call": line.target = 0x7C12
        case "jnz ":
            line.target = 0x7C05
            if current { line.isTaken = true }
        case "mov ": if current, n == 4 { line.operand = .init(0x600, bytes: 2, value: 0x1234) }
        default: break
        }
        return line
    }

    fileprivate static func stop(_ reason: DebugStop.Reason, _ text: String, _ steps: UInt64) -> DebugStop {
        let offset = code[Int(steps) % code.count].offset
        return DebugStop(
            reason, text, serial: steps + 1, retired: 1000 + steps, selector: 0, offset: offset, linear: offset, mode: .real)
    }
}

extension CannedDebugger.Content {
    private var here: Int { Int(steps) % 12 }

    mutating func answer(_ query: DebugQuery, _ stop: inout DebugStop?) -> DebugAnswer {
        switch query {
        case .registers: return .registers(registers)
        case .memory(let place, let count, _): return memory(place, count)
        case .poke(let place, let bytes, _):
            guard case .linear(let address) = place else { return .failure("Only linear addresses here.") }
            for (n, byte) in bytes.enumerated() { pokes[address &+ UInt64(n)] = byte }
            return .done
        case .disassembly(let place, let before, let count, _, _):
            var start = here
            switch place {
            case .linear(let address): start = CannedDebugger.code.firstIndex { $0.offset >= address } ?? 0
            case .text("nowhere"): return .failure("There is no symbol 'nowhere'.")
            case .text: start = 0
            default: break
            }
            let first = max(0, start - before)
            return .instructions((first..<min(12, start + count)).map { n in
                let breakpoint = breakpoints.first { $0.kind == .execution(.linear(CannedDebugger.code[n].offset)) }
                return CannedDebugger.instruction(n, current: n == here, breakpoint: breakpoint.map { $0.isEnabled ? $0.number : -$0.number })
            })
        case .breakpoints: return .breakpoints(breakpoints)
        case .setBreakpoint(var new):
            new.number = (breakpoints.map(\.number).max() ?? 0) + 1
            breakpoints.append(new)
            return .breakpoints([new])
        case .deleteBreakpoint(let number):
            breakpoints.removeAll { $0.number == number }
            return .done
        case .enableBreakpoint(let number, let on):
            guard let i = breakpoints.firstIndex(where: { $0.number == number }) else { return .failure("There is no breakpoint \(number).") }
            breakpoints[i].isEnabled = on
            return .done
        case .branches:
            return .branches([
                DebugBranch("call", from: 0x7C0C, to: 0x7C12, retired: 998, label: nil),
                DebugBranch("ret", from: 0x7C14, to: 0x7C0F, retired: 999, label: "start+15"),
            ])
        case .history: return .instructions((0..<6).map { CannedDebugger.instruction($0, current: false, breakpoint: nil) })
        case .table(let kind, _): return .table(table(kind))
        case .walk(let linear, _):
            let pde = PageWalk.Level("PDE", at: 0x1000, entry: 0x2027)
            let pte = PageWalk.Level("PTE", at: 0x2000 + (linear >> 12) * 4, entry: linear & ~0xFFF | 0x67)
            let walk = PageWalk(linear, levels: [pde, pte], physical: linear)
            return .walk(walk)
        case .translations: return .translations([])
        case .pci:
            var bytes = [UInt8](repeating: 0, count: 256)
            bytes.replaceSubrange(0..<12, with: [0x86, 0x80, 0x37, 0x12, 6, 0, 0, 0x22, 2, 0, 0, 6])
            return .pci([PCIReport("host-bridge", device: 0, function: 0, bytes: bytes)])
        case .devices:
            return .devices([
                ChipReport(name: "pic#1", fields: [.init(name: "imr", value: "FB"), .init(name: "isr", value: "00")], ports: [0x20...0x21]),
                ChipReport(name: "pit", fields: [.init(name: "counter.0", value: "FFFF")], ports: [0x40...0x43]),
            ])
        case .census:
            return .lines([
                "1000 instructions, 90.0 % of them directly as host code, 100 emulated", "SGDT           ring 0            1           0  0008:1000",
            ])
        case .activity: return .lines(["    0.000123 io   f000:e05b write port=0x20 size=1 value=0x11"])
        case .complete(let line): return .lines(["step", "stepi"].filter { $0.hasPrefix(line) })
        case .command("help"): return .lines(["step [N]  carry out N instructions", "continue  go on"])
        case .command(let line):
            if line == "s" { return go(.step(count: 1), &stop) }
            return .lines(["There is no command '\(line)'; 'help' lists them."])
        case .go(let run): return go(run, &stop)
        case .timeline: return .timeline(timeline)
        case .record: return .done
        case .evaluate, .setRegister: return .value(0)
        }
    }

    private var timeline: Timeline {
        var timeline = Timeline()
        timeline.last.instruction = 1000 + steps
        timeline.position.instruction = 1000 + steps
        timeline.checkpoints = [0, 500]
        timeline.inputs = [.init(instruction: 700, text: "key enter")]
        timeline.stops = [.init(instruction: 900, text: "Breakpoint 1")]
        (timeline.bytes, timeline.limit) = (1 << 20, 64 << 20)
        return timeline
    }

    private mutating func go(_ run: DebugRun, _ stop: inout DebugStop?) -> DebugAnswer {
        switch run {
        case .resume: stop = nil
        case .pause: stop = CannedDebugger.stop(.pause, "Paused.", steps)
        case .step(let count):
            steps += count
            stop = CannedDebugger.stop(.step, "Stepped.", steps)
        case .back(let count):
            steps -= min(steps, count)
            stop = CannedDebugger.stop(.step, "Stepped back.", steps)
        default:
            steps += 1
            stop = CannedDebugger.stop(.breakpoint, "Breakpoint 1: at 0000:7C12", steps)
        }
        return .done
    }

    private func memory(_ place: DebugPlace, _ count: Int) -> DebugAnswer {
        let start: UInt64
        var isPhysical = false
        switch place {
        case .linear(let address): start = address
        case .physical(let address): (start, isPhysical) = (address, true)
        case .far(let selector, let offset): start = UInt64(selector) << 4 &+ offset
        case .text("nowhere"): return .failure("There is no symbol 'nowhere'.")
        case .text(let text): start = text == "ds:0" ? 0 : UInt64(text, radix: 16) ?? 0
        }
        let bytes = (0..<count).map { n -> UInt8 in
            let address = start &+ UInt64(n)
            if let poked = pokes[address] { return poked }
            if address == 0x600 { return UInt8(truncatingIfNeeded: steps) }
            return UInt8(truncatingIfNeeded: address &* 7)
        }
        return .memory(DebugMemory(address: start, isPhysical: isPhysical, bytes: bytes))
    }

    private func table(_ kind: DebugTableKind) -> DebugTable {
        DebugTable(
            kind, base: 0x7E00, limit: 0x1F,
            rows: [
                .init(0, raw: 0, text: "empty"), .init(1, raw: 1, text: "code 32-bit base 00000000 limit FFFFFFFF DPL 0"),
                .init(2, raw: 2, text: "data base 00000000 limit FFFFFFFF DPL 0"),
            ])
    }

    private var registers: DebugRegisters {
        func segment(_ name: String, _ selector: UInt16) -> DebugRegisters.Segment {
            .init(name, selector: selector, base: UInt64(selector) << 4, limit: 0xFFFF, attributes: name == "CS" ? 0x9B : 0x93)
        }
        var general = [UInt64](repeating: 0, count: 16)
        (general[0], general[4], general[5]) = (0x1234 + steps, 0x7000, 0x7008)
        let names = ["ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR"]
        let empty = DebugRegisters.FPU.Register(0, 0, isEmpty: true)
        let one = DebugRegisters.FPU.Register(1 << 63, 0x3FFF, isEmpty: false)
        return DebugRegisters(
            .real, general: general, rip: CannedDebugger.code[here].offset, eflags: steps % 2 == 0 ? 0x202 : 0x246,
            segments: names.map { segment($0, $0 == "ES" ? 0xB800 : 0) }, gdtr: segment("GDTR", 0), idtr: segment("IDTR", 0),
            control: [.init("CR0", 0x10), .init("CR2", 0), .init("CR3", 0), .init("CR4", 0), .init("CR8", 0), .init("XCR0", 1)],
            debug: [.init("DR0", 0), .init("DR1", 0), .init("DR2", 0), .init("DR3", 0), .init("DR6", 0xFFFF_0FF0), .init("DR7", 0x400)],
            msrs: [.init("EFER", 0), .init("APIC_BASE", 0xFEE0_0900)], fpu: .init([one] + [DebugRegisters.FPU.Register](repeating: empty, count: 7)),
            mmx: [UInt64](repeating: 0, count: 8), vectors: [[UInt64]](repeating: [1, 2, 3, 4], count: 16), mxcsr: 0x1F80, retired: 1000 + steps,
            linear: CannedDebugger.code[here].offset)
    }
}
