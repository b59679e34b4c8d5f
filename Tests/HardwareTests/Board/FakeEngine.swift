import CPU
import Primitives

@testable import Hardware

/// A processor that retires nothing but NOPs, with actions at chosen instructions: what a guest program would do to the bus.
final class FakeEngine: Engine {
    let bus: Unowned
    struct Unowned { unowned let bus: any CPUBus }

    private(set) var retired: UInt64 = 0
    /// Called when this many instructions have retired, as part of the next one.
    var actions: [UInt64: (any CPUBus) -> Void] = [:]
    var interruptsEnabled = false
    var halted = false
    /// Vectors taken, with guest time.
    private(set) var taken: [(vector: UInt8, at: Nanoseconds)] = []
    private(set) var nmis = 0, resets = 0
    /// Waiting for SIPI, and the vectors of those that came while it was.
    private(set) var waiting = false
    private(set) var startUps: [UInt8] = []
    private(set) var intr = false
    private var exitRequested = false
    /// What `run` answers once, in place of working.
    var nextExit: EngineExit?
    /// What `run` answers always, in place of working.
    var constantExit: EngineExit?
    /// What it says of its state.
    var inconsistency: String?
    var onInterrupt: ((UInt8, any CPUBus) -> Void)?

    init(_ bus: any CPUBus) { self.bus = Unowned(bus: bus) }

    func run(budget: Int64) -> EngineExit {
        if let exit = nextExit {
            nextExit = nil
            return exit
        }
        if let constantExit { return constantExit }
        var left = budget
        exitRequested = false
        while left > 0 {
            if intr, interruptsEnabled {
                halted = false
                if let vector = bus.bus.acknowledgeInterrupt() {
                    taken.append((vector, bus.bus.now()))
                    onInterrupt?(vector, bus.bus)
                }
                continue
            }
            if halted || waiting { return .halted }
            if let action = actions[retired] { action(bus.bus) }
            retired += 1
            left -= 1
            if exitRequested {
                exitRequested = false
                return left == 0 ? .budgetUsed : .attention
            }
        }
        return .budgetUsed
    }

    func setINTR(_ level: Bool) { intr = level }
    func raiseNMI() { nmis += 1 }
    func reset() {
        resets += 1
        halted = false
        waiting = false
    }
    func initialise(waiting: Bool) {
        reset()
        self.waiting = waiting
    }
    func startUp(vector: UInt8) -> Bool {
        guard waiting else { return false }
        waiting = false
        startUps.append(vector)
        return true
    }
    var isIdle: Bool { waiting || halted && !(intr && interruptsEnabled) }
    func requestExit() { exitRequested = true }
    func digest(into digest: inout Digest) { digest.combine(retired) }
}

/// A board with fake processors and a BIOS whose bytes tell their offset.
struct Bench {
    let pc: PC
    let engines: [FakeEngine]
    /// The bootstrap processor.
    var engine: FakeEngine { engines[0] }

    init(_ change: (inout BoardSettings) -> Void = { _ in }) throws {
        var settings = BoardSettings(bios: Bench.bios, vgaBIOS: Bench.vgaBIOS)
        settings.ramMiB = 8
        change(&settings)
        var made: [FakeEngine] = []
        pc = try PC(settings) { bus, _, _ in
            let engine = FakeEngine(bus)
            made.append(engine)
            return engine
        }
        engines = made
    }

    static let bios: [UInt8] = (0..<(256 << 10)).map { UInt8(truncatingIfNeeded: $0 >> 10) }
    static let vgaBIOS: [UInt8] = [0x55, 0xAA, 0x50] + [UInt8](repeating: 0x42, count: 39_000)

    func out(_ port: Port, _ value: UInt8) { pc.writePort(port, size: 1, UInt32(value)) }
    func input(_ port: Port) -> UInt8 { UInt8(truncatingIfNeeded: pc.readPort(port, size: 1)) }

    func selectConfig(_ device: Int, _ function: Int, _ offset: Int) {
        pc.writePort(0xCF8, size: 4, 0x8000_0000 | UInt32(device) << 11 | UInt32(function) << 8 | UInt32(offset & 0xFC))
    }
    func config(_ device: Int, _ function: Int, _ offset: Int, size: Int = 4) -> UInt32 {
        selectConfig(device, function, offset)
        return pc.readPort(0xCFC + Port(offset & 3), size: size)
    }
    func setConfig(_ device: Int, _ function: Int, _ offset: Int, size: Int = 4, _ value: UInt32) {
        selectConfig(device, function, offset)
        pc.writePort(0xCFC + Port(offset & 3), size: size, value)
    }

    /// The power management base as SeaBIOS sets it.
    func setUpPowerManagement() {
        setConfig(1, 3, 0x40, 0x601)
        setConfig(1, 3, 0x80, size: 1, 1)
        setConfig(1, 3, 0x90, 0x701)
        setConfig(1, 3, 0xD2, size: 1, 9)
    }

    /// 8259 pair at vectors 0x20 and 0x28, everything masked but `unmasked`.
    func setUpPIC(unmasked: UInt16) {
        for (port, vector, cascade) in [(Port(0x20), UInt8(0x20), UInt8(4)), (0xA0, 0x28, 2)] {
            out(port, 0x11)
            out(port + 1, vector)
            out(port + 1, cascade)
            out(port + 1, 1)
        }
        let mask = ~(unmasked | (unmasked > 0xFF ? 4 : 0))
        out(0x21, UInt8(truncatingIfNeeded: mask))
        out(0xA1, UInt8(truncatingIfNeeded: mask >> 8))
    }

    /// Local APIC on, I/O APIC pin to vector.
    func setUpAPIC() { pc.writeMMIO(0xFEE0_00F0, size: 4, 0x1FF) }
    func setIOAPIC(_ pin: Int, low: UInt32, high: UInt32 = 0) {
        for (index, value) in [(0x11 + 2 * pin, high), (0x10 + 2 * pin, low)] {
            pc.writeMMIO(0xFEC0_0000, size: 4, UInt64(index))
            pc.writeMMIO(0xFEC0_0010, size: 4, UInt64(value))
        }
    }
    func ioapicEntry(_ pin: Int) -> UInt32 {
        pc.writeMMIO(0xFEC0_0000, size: 4, UInt64(0x10 + 2 * pin))
        return UInt32(truncatingIfNeeded: pc.readMMIO(0xFEC0_0010, size: 4))
    }
}


/// Wires without a board, for tests of one chip.
func makeWires(_ now: Nanoseconds = 0) throws -> Wires { Wires(now: now, memory: try GuestMemory(ramBytes: 1 << 20, extraBytes: 1 << 16)) }
