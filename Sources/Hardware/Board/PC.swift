import CPU
import Primitives

/// Why the board came back from `run`.
public enum PCStop: Equatable, Sendable {
    /// The instructions asked for have retired.
    case sliceDone
    /// The vCPU waits for an interrupt. Host clock: nothing happens by itself before `until` (nil: not at all without input from
    /// outside). Virtual clock: `until` is now, the runner may look at its queue and calls again.
    case halted(until: Nanoseconds?)
    case powerOff
    /// The guest asked for a reset and the settings say that this ends the run.
    case reset
    /// Triple fault. One plain sentence.
    case shutdown(String)
    case debugExit(UInt8)
    case bootHook(UInt8)
}

/// The board of a 440FX PC: the list of chips and the wiring between them.
///
/// One thread owns it. The vCPU calls it back for ports, register windows and interrupts (`CPUBus`); chips reach it only through
/// `Wires`. Everything that a call changes is carried out when the call has returned, in this order: interrupt lines, deadline,
/// requests, DMA.
public final class PC {
    /// Guest time of one instruction with the virtual clock: 500 MIPS.
    public static let nanosecondsPerInstruction: UInt64 = 2

    public let settings: BoardSettings
    public let memory: GuestMemory
    /// The processor. Set once, at the end of `init`.
    public private(set) var engine: any Engine

    /// The chips, in the order of firing, saving and showing.
    var devices: [any Device]
    /// Positions of the chips that the wiring itself needs.
    let place: Places
    var bus = IOBus()
    /// Position of each PCI function by device << 3 | function; 255: none.
    let functions: [UInt8]
    var pci = PCIBus()
    /// Lent to a chip for the length of one call.
    var wires: Wires

    /// The lines that each chip drives; the board sees their OR.
    var driven: [UInt32]
    /// OR of `driven`.
    var lines: UInt32 = 0
    var linesChanged = false
    /// INTR as the vCPU last got it.
    var intr = false

    /// `deadline` of each chip, `.max`: none.
    var deadlines: [Nanoseconds]
    /// The vCPU runs up to this time.
    var nextDeadline: Nanoseconds = .max
    /// Virtual clock: time passed in HLT, on top of the instructions'.
    var skipped: Nanoseconds = 0
    /// Host clock: the latest time handed out.
    var latestHostTime: Nanoseconds = 0
    /// Host clock: instructions in 1024 ns, a running average.
    var hostRate: UInt64 = 100

    /// Which chip raised DREQn.
    var dreqOwner = [Int](repeating: -1, count: 8)
    var servingDMA = false

    var pendingStop: PCStop?
    var pendingReset = false
    var pendingINIT = false
    /// Whole-board resets since power-on.
    public internal(set) var resets: UInt64 = 0

    var output: [(HostStream, [UInt8])] = []
    /// Bytes in `output`. A slice ends early when they reach the limit, or a guest could fill the host's memory in one.
    var outputBytes = 0
    static let outputLimit = 4 << 20

    // ROMs and video memory in the arena.
    let biosBlock: GuestMemory.Block
    let vgaROMBlock: GuestMemory.Block?
    let vramBlock: GuestMemory.Block

    /// Builds the board and switches it on; the first `run` starts at the reset vector.
    /// - Parameter engine: makes the processor for the bus and the memory; it must not keep the bus alive.
    /// - Throws: what cannot be built; nothing is left behind.
    public init(_ settings: BoardSettings, engine makeEngine: (any CPUBus, GuestMemory) -> any Engine) throws(BoardError) {
        try settings.check()
        self.settings = settings
        let ramBytes = UInt64(settings.ramMiB) << 20
        let arena: GuestMemory
        do {
            arena = try GuestMemory(ramBytes: ramBytes, extraBytes: VGA.memoryBytes + (1 << 20))
        } catch { throw .hostMemory(error.bytes) }
        memory = arena
        biosBlock = arena.allocate(bytes: settings.bios.count)
        if settings.vgaBIOS.isEmpty { vgaROMBlock = nil } else { vgaROMBlock = arena.allocate(bytes: VGA.romBytes) }
        vramBlock = arena.allocate(bytes: VGA.memoryBytes)

        devices = PC.chips(settings, vram: vramBlock)
        place = Places(devices)
        try bus.connect(devices)
        var slots = [UInt8](repeating: 255, count: 256)
        for (position, device) in devices.enumerated() {
            if let (number, function) = device.pciAddress { slots[(number & 31) << 3 | function & 7] = UInt8(position) }
        }
        functions = slots
        wires = Wires(now: 0, memory: memory)
        driven = [UInt32](repeating: 0, count: devices.count)
        deadlines = [Nanoseconds](repeating: .max, count: devices.count)
        engine = NoEngine()
        engine = makeEngine(self, memory)
        settings.bios.withUnsafeBytes { arena.fill(biosBlock, at: 0, with: $0) }
        if let block = vgaROMBlock { settings.vgaBIOS.withUnsafeBytes { arena.fill(block, at: 0, with: $0) } }
        writeCMOS()
        refreshDeadlines()
        mapMemory()
        settleInterrupts()
    }

    /// The board with the interpreter in its socket.
    /// - Throws: as the designated initialiser.
    public convenience init(_ settings: BoardSettings) throws(BoardError) {
        try self.init(settings) { bus, memory in Processor(memory: memory, bus: bus, model: settings.processor) }
    }

    /// The processor in the socket, where it is the interpreter: for loaders and debuggers.
    public var processor: Processor? { engine as? Processor }

    // MARK: Chips

    /// A chip of the wiring, as its own type, in place.
    func chip<D: Device, R>(_ position: Int, _ type: D.Type, _ body: (inout D) -> R) -> R {
        guard let result = devices[position].with(type, body) else { preconditionFailure("the list of chips and its wiring disagree") }
        return result
    }

    /// A copy of the first chip of a type, for panels, tests and snapshots.
    public func chip<D: Device>(_ type: D.Type) -> D? {
        for device in devices { if let match = device as? D { return match } }
        return nil
    }

    /// Names of the chips in board order; the second of a kind is `uart#2`.
    public var chipNames: [String] {
        var seen: [String: Int] = [:]
        return devices.map { device in
            let name = type(of: device).name
            let count = seen[name, default: 0] + 1
            seen[name] = count
            return count == 1 ? name : "\(name)#\(count)"
        }
    }

    // MARK: Reset

    /// RESET: every chip, the processor, the memory map. RAM and CMOS keep their contents.
    public func reset() {
        resets &+= 1
        pendingReset = false
        pendingINIT = false
        for position in devices.indices {
            devices[position].reset()
            driven[position] = 0
        }
        pci.reset()
        wires.requests.removeAll()
        wires.dreq = 0
        dreqOwner = [Int](repeating: -1, count: 8)
        lines = 0
        memory.setA20(true)
        engine.reset()
        writeCMOS()
        bus.reconnect(devices)
        refreshDeadlines()
        mapMemory()
        settleInterrupts()
    }

    /// INIT: only the processor and its local APIC.
    func initialiseProcessor() {
        pendingINIT = false
        chip(place.lapic, LAPIC.self) { $0.resetByINIT() }
        engine.reset()
        memory.setA20(true)
        settleInterrupts()
    }

    // MARK: State

    /// A digest of the processor, RAM, video memory, chips and the board's own latches: equal for two runs that are identical.
    public func digest() -> String {
        var digest = Digest()
        engine.digest(into: &digest)
        memory.withBytes(of: memory.ram) { digest.combine(UnsafeRawBufferPointer($0)) }
        memory.withBytes(of: vramBlock) { digest.combine(UnsafeRawBufferPointer($0)) }
        for (position, device) in devices.enumerated() {
            digest.combine(UInt64(position))
            DigestEncoder.combine(device, into: &digest)
        }
        for word in driven { digest.combine(UInt64(word)) }
        digest.combine(UInt64(pci.latch))
        digest.combine(UInt64(wires.dreq))
        digest.combine(memory.a20 ? 1 : 0)
        digest.combine(engine.retired)
        if case .virtual = settings.clock { digest.combine(skipped) }
        return digest.value
    }
}

/// Stands where the processor goes while the board is being put together.
private final class NoEngine: Engine {
    var retired: UInt64 { 0 }
    func run(budget: Int64) -> EngineExit { .halted }
    func setINTR(_ level: Bool) {}
    func raiseNMI() {}
    func reset() {}
    func requestExit() {}
    func digest(into digest: inout Digest) {}
}
