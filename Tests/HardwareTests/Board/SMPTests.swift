import CPU
import EmptyBoard
import Primitives
import Testing

@testable import Hardware

/// Several processors on the board: messages between their local APICs, turns, time.
@Suite("board · several processors") struct SMPTests {
    private static let icr: Physical = 0xFEE0_0300

    /// Four processors with their APICs switched on and started.
    private func started(_ count: Int = 4) throws -> Bench {
        let bench = try Bench { $0.cpus = count }
        send(bench, 0xC4500)
        _ = bench.pc.run(instructions: 1)
        send(bench, 0xC4608)
        for number in 0..<count {
            bench.pc.select(number)
            bench.setUpAPIC()
        }
        bench.pc.select(0)
        return bench
    }

    private func send(_ bench: Bench, to destination: UInt64 = 0, _ low: UInt64) {
        bench.pc.writeMMIO(SMPTests.icr + 0x10, size: 4, destination << 24)
        bench.pc.writeMMIO(SMPTests.icr, size: 4, low)
    }

    private func asked(_ bench: Bench) -> [Bool] { bench.engines.map(\.intr) }

    @Test("the others wait from power-on; SIPI starts them once, after INIT") func startUp() throws {
        let bench = try Bench { $0.cpus = 3 }
        #expect(bench.engines.map(\.waiting) == [false, true, true])
        bench.setUpAPIC()
        send(bench, to: 1, 0x4609)
        #expect(bench.engines[1].startUps == [9] && bench.engines[2].startUps == [], "to one")
        send(bench, 0xC460A)
        #expect(bench.engines[1].startUps == [9] && bench.engines[2].startUps == [0x0A], "a running processor ignores it")
        #expect(bench.engines[0].startUps == [])
        send(bench, to: 1, 0x4500)
        _ = bench.pc.run(instructions: 1)
        #expect(bench.engines[1].waiting && !bench.engines[2].waiting)
        bench.pc.reset()
        #expect(bench.engines.map(\.waiting) == [false, true, true])
    }

    @Test("every processor reaches its own local APIC at the same address, and its own base register") func ownAPIC() throws {
        let bench = try started()
        for number in 0..<4 {
            bench.pc.select(number)
            #expect(bench.pc.readMMIO(0xFEE0_0020, size: 4) == UInt64(number) << 24)
            #expect(bench.pc.readMSR(0x1B) == 0xFEE0_0800 | (number == 0 ? 0x100 : 0))
        }
        #expect(bench.pc.writeMSR(0x1B, 0xFEE0_0000), "the last one switches its own off")
        #expect(bench.pc.readMMIO(0xFEE0_0020, size: 4) == 0xFFFF_FFFF)
        bench.pc.select(0)
        #expect(bench.pc.readMMIO(0xFEE0_0020, size: 4) == 0)
    }

    @Test("destinations: one, a logical set, itself, all, the others", arguments: [
        (2, 0x4041, [false, false, true, false]), (0b1010, 0x4841, [false, true, false, true]), (0, 0x44041, [true, false, false, false]),
        (0, 0x84041, [true, true, true, true]), (0, 0xC4041, [false, true, true, true]), (0xFF, 0x4041, [true, true, true, true]),
    ] as [(UInt64, UInt64, [Bool])])
    func destinations(destination: UInt64, low: UInt64, expected: [Bool]) throws {
        let bench = try started()
        for number in 0..<4 {
            bench.pc.select(number)
            bench.pc.writeMMIO(0xFEE0_00D0, size: 4, 1 << UInt64(24 + number))
        }
        bench.pc.select(0)
        send(bench, to: destination, low)
        #expect(asked(bench) == expected)
        for number in 0..<4 where expected[number] {
            bench.pc.select(number)
            #expect(bench.pc.acknowledgeInterrupt() == 0x41)
        }
        #expect(asked(bench) == [false, false, false, false])
    }

    @Test("lowest priority goes to the processor with the lowest PPR") func lowestPriority() throws {
        let bench = try started()
        for (number, priority) in [0x50, 0x30, 0x20, 0x30].enumerated() {
            bench.pc.select(number)
            bench.pc.writeMMIO(0xFEE0_00D0, size: 4, 1 << UInt64(24 + number))
            bench.pc.writeMMIO(0xFEE0_0080, size: 4, UInt64(priority))
        }
        bench.setIOAPIC(4, low: 0x0971, high: 0x0F << 24)  // lowest priority, logical: all four
        bench.pc.engines[0].setINTR(false)
        bench.pc.select(0)
        bench.pc.call(bench.pc.place.serial[0], UART.self) { $1.raise(irq: 4) }
        #expect(asked(bench) == [false, false, true, false])
    }

    @Test("NMI goes to one; the board's NMI to all whose LINT1 lets it through") func nmi() throws {
        let bench = try started()
        send(bench, to: 3, 0x4400)
        #expect(bench.engines.map(\.nmis) == [0, 0, 0, 1])
        bench.pc.select(1)
        bench.pc.writeMMIO(0xFEE0_0360, size: 4, 0x400)
        bench.pc.call(bench.pc.place.serial[0], UART.self) { $1.raise(irq: 20) }
        #expect(bench.engines.map(\.nmis) == [0, 1, 0, 1])
    }

    @Test("turns: each awake processor gets the same share, sleeping ones none; time is the sum") func turns() throws {
        let bench = try started()
        bench.engines[2].halted = true
        let before = bench.engines.map(\.retired)
        let start = bench.pc.retired
        #expect(bench.pc.run(instructions: 6 * PC.turn) == .sliceDone)
        let used = zip(bench.engines, before).map { $0.retired - $1 }
        #expect(used == [2 * UInt64(PC.turn), 2 * UInt64(PC.turn), 0, 2 * UInt64(PC.turn)])
        #expect(bench.pc.retired - start == 6 * UInt64(PC.turn))
        #expect(bench.pc.now() == bench.pc.retired * PC.nanosecondsPerInstruction)
    }

    @Test("however the host cuts the run, the turns are the same", arguments: [1, 100, 2_047, 2_048, 2_049, 5_000] as [Int64])
    func cuts(slice: Int64) throws {
        func run(_ slice: Int64) throws -> ([UInt64], String) {
            let bench = try started()
            var left: Int64 = 20_001
            while left > 0 {
                #expect(bench.pc.run(instructions: min(slice, left)) == .sliceDone)
                left -= slice
            }
            return (bench.engines.map(\.retired), bench.pc.digest())
        }
        let (whole, cut) = (try run(20_001), try run(slice))
        #expect(whole.0 == cut.0 && whole.1 == cut.1)
    }

    @Test("a message wakes a sleeping processor at once when the sender ran alone") func wake() throws {
        let bench = try started(2)
        bench.engines[1].halted = true
        bench.engines[1].interruptsEnabled = true
        let at = bench.engines[0].retired + 1_000
        bench.engines[0].actions[at] = { bus in bus.writeMMIO(0xFEE0_0310, size: 4, 1 << 24); bus.writeMMIO(0xFEE0_0300, size: 4, 0x4066) }
        _ = bench.pc.run(instructions: 10_000)
        #expect(bench.engines[1].taken.map(\.vector) == [0x66])
        #expect(bench.engines[1].retired > 0)
    }

    @Test("when all sleep, time skips to the next deadline") func allSleep() throws {
        let bench = try started(2)
        bench.pc.select(1)
        bench.pc.writeMMIO(0xFEE0_0320, size: 4, 0x55)
        bench.pc.writeMMIO(0xFEE0_03E0, size: 4, 0xB)
        bench.pc.writeMMIO(0xFEE0_0380, size: 4, 1_000_000)  // 1 ms
        bench.pc.select(0)
        let due = try #require(bench.pc.chip(bench.pc.place.lapics[1], LAPIC.self) { $0.deadline })
        for engine in bench.engines { engine.halted = true }
        bench.engines[1].interruptsEnabled = true
        _ = bench.pc.run(instructions: 10)
        #expect(bench.engines[1].taken.map(\.vector) == [0x55] && bench.engines[1].taken.first?.at == due)
        #expect(bench.engines[0].taken.isEmpty)
    }
}

@Suite("processors share memory") struct SharedMemoryTests {
    private func pair() throws -> (GuestMemory, NoBoard, [Processor]) {
        let memory = try GuestMemory(ramBytes: 1 << 20, extraBytes: 1 << 16)
        memory.setMap([.init(base: 0, bytes: 1 << 20, read: 0, write: 0)])
        let bus = NoBoard()
        let processors = (0..<2).map { Processor(memory: memory, bus: bus, model: .pentiumPro, apicID: UInt8($0)) }
        for processor in processors {
            processor.initialise(waiting: true)
            _ = processor.startUp(vector: 1)
        }
        return (memory, bus, processors)
    }

    @Test("code decoded by one is thrown away when the other, or a bus master, writes it") func invalidation() throws {
        let (memory, bus, processors) = try pair()
        defer { withExtendedLifetime(bus) {} }
        memory.write(0x1000, [0xB0, 0x11, 0xEB, 0xFC])  // mov al,11h; jmp to the start
        for processor in processors { #expect(processor.run(budget: 10) == .budgetUsed) }
        #expect(processors.map { $0.state.gpr[0] & 0xFF } == [0x11, 0x11])
        memory.write(0x1001, [0x22])
        for processor in processors { _ = processor.run(budget: 10) }
        #expect(processors.map { $0.state.gpr[0] & 0xFF } == [0x22, 0x22])
        // The second stores over the operand that the first runs: mov byte [1001h],33h; then both go on at the loop.
        memory.write(0x1100, [0xC6, 0x06, 0x01, 0x10, 0x33, 0xE9, 0xF8, 0xFE])
        var state = processors[1].state
        state.rip = 0x100
        state.seg[3].base = 0
        processors[1].state = state
        _ = processors[1].run(budget: 1)
        #expect(memory.load(0x1001, as: UInt8.self) == 0x33)
        for processor in processors { _ = processor.run(budget: 10) }
        #expect(processors.map { $0.state.gpr[0] & 0xFF } == [0x33, 0x33])
    }

    @Test("INIT leaves MTRRs, MSRs and the FPU alone and waits; SIPI is taken once") func initialise() throws {
        let (_, bus, processors) = try pair()
        defer { withExtendedLifetime(bus) {} }
        let processor = processors[0]
        var state = processor.state
        state.mtrrDefType = 0xC06
        state.sysenterCS = 8
        state.fpu.control = 0x37F
        state.cr0 = 0x11
        state.rip = 0x1234
        processor.state = state
        processor.initialise(waiting: true)
        #expect(processor.state.mtrrDefType == 0xC06 && processor.state.sysenterCS == 8 && processor.state.fpu.control == 0x37F)
        #expect(processor.state.cr0 == 0x10 && processor.state.rip == 0xFFF0, "the cache bits stay clear")
        #expect(processor.isIdle && processor.run(budget: 10) == .halted)
        processor.raiseNMI()
        #expect(processor.isIdle)
        #expect(processor.startUp(vector: 0x9A) && !processor.startUp(vector: 0x9B))
        #expect(processor.state.seg[1].selector == 0x9A00 && processor.state.seg[1].base == 0x9_A000 && processor.state.rip == 0)
    }

    @Test("a processor that goes away leaves the memory to the others") func lifetime() throws {
        let (memory, bus, processors) = try pair()
        defer { withExtendedLifetime(bus) {} }
        var two = processors
        two.removeFirst()
        memory.write(0x1000, [0xB0, 0x11, 0xEB, 0xFC])
        _ = two[0].run(budget: 10)
        memory.write(0x1001, [0x22])
        _ = two[0].run(budget: 10)
        #expect(two[0].state.gpr[0] & 0xFF == 0x22)
    }
}
