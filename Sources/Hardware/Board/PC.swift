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
    /// A fault of ours: what does not fit, in one plain sentence. Only a reset makes sense now.
    case failed(String)
    case debugExit(UInt8)
    case bootHook(UInt8)
    /// A processor is at a stop point of the debugger: see `takeHits`. The next `run` goes on as if nothing had been.
    case debug
}

/// The board of a 440FX PC: the list of chips and the wiring between them.
///
/// One thread owns it. The vCPU calls it back for ports, register windows and interrupts (`CPUBus`); chips reach it only through
/// `Wires`. Everything that a call changes is carried out when the call has returned, in this order: interrupt lines, deadline,
/// requests, DMA.
public final class PC {
    /// Guest time of one instruction with the virtual clock: 500 MIPS.
    public static let nanosecondsPerInstruction: UInt64 = 2
    /// Instructions that a processor runs before the next one is due.
    public static let turn: Int64 = 2_048

    public let settings: BoardSettings
    public let memory: GuestMemory
    /// The processors, the bootstrap processor first. Set once, at the end of `init`.
    public private(set) var engines: [any Engine] = []
    /// The processor that runs, or ran last: number and engine.
    private(set) var current = 0
    public private(set) var engine: any Engine
    /// Instructions that the others have retired.
    var retiredElsewhere: UInt64 {
        get { counted.pointee.elsewhere }
        set {
            counted.pointee.elsewhere = newValue
            paced.pointee.elsewhere = newValue
        }
    }
    /// Shared with the processors where the clock is virtual.
    let counted: UnsafeMutablePointer<CountedTime>
    /// Instructions left of the present turn; counted only while another processor could run too.
    var turnLeft = PC.turn
    /// No other processor can run: the present one need not stop at the end of its turn.
    var alone = true

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
    /// INTR as each vCPU last got it, one bit each.
    var intr: UInt32 = 0

    /// `deadline` of each chip, `.max`: none.
    var deadlines: [Nanoseconds]
    /// The vCPU runs up to this time.
    var nextDeadline: Nanoseconds = .max
    /// Virtual clock: time passed in HLT, on top of the instructions'.
    var skipped: Nanoseconds {
        get { counted.pointee.skipped }
        set { counted.pointee.skipped = newValue }
    }
    /// Deadlines that chips were called at: tells moments apart at which neither instructions nor time have gone on. No part of the machine.
    public var firings: UInt64 = 0
    /// Virtual clock: when somebody outside next does something to the machine, such as letting go of a key. Halts are not skipped beyond it.
    public var outsideDeadline: Nanoseconds?
    /// Host clock: guest time as it follows the host's. Shared with the processors.
    let paced: UnsafeMutablePointer<PacedTime>
    /// Host clock: instructions in 1024 ns, a running average.
    var hostRate: UInt64 = 100

    /// Which chip raised DREQn.
    var dreqOwner = [Int](repeating: -1, count: 8)
    var servingDMA = false

    var pendingStop: PCStop?
    /// The last run ended by a fault of ours: what the engines keep is not trusted beyond the next reset.
    var hasFailed = false
    /// Virtual clock: time skipped in halts by a slice that the debugger has cut into parts.
    var skippedInSlice: Nanoseconds = 0
    /// The next `run` is not the last part of a slice: see `skippedInSlice`.
    public var isPartOfSlice = false
    var pendingReset = false
    /// Processors that INIT is pending for, one bit each.
    var pendingINIT: UInt32 = 0
    /// Whole-board resets since power-on.
    public internal(set) var resets: UInt64 = 0

    var output: [(HostStream, [UInt8])] = []
    /// Bytes in `output`. A slice ends early when they reach the limit, or a guest could fill the host's memory in one.
    var outputBytes = 0
    static let outputLimit = 4 << 20

    // ROMs and video memory in the arena.
    let biosBlock: GuestMemory.Block
    /// The clock: asked for by every RDTSC.
    let isVirtual: Bool
    let vgaROMBlock: GuestMemory.Block?
    let vramBlock: GuestMemory.Block

    /// Builds the board and switches it on; the first `run` starts at the reset vector.
    /// - Parameter engine: makes a processor for the bus, the memory and its number; it must not keep the bus alive.
    /// - Throws: what cannot be built; nothing is left behind.
    public init(_ settings: BoardSettings, engine makeEngine: (any CPUBus, GuestMemory, Int) -> any Engine) throws(BoardError) {
        try settings.check()
        self.settings = settings
        if case .virtual = settings.clock { isVirtual = true } else { isVirtual = false }
        let ramBytes = UInt64(settings.ramMiB) << 20
        let arena: GuestMemory
        do {
            arena = try GuestMemory(ramBytes: ramBytes, extraBytes: settings.videoMemoryMiB << 20 + (1 << 20))
        } catch { throw .hostMemory(error.bytes) }
        memory = arena
        biosBlock = arena.allocate(bytes: settings.bios.count)
        if settings.vgaBIOS.isEmpty { vgaROMBlock = nil } else { vgaROMBlock = arena.allocate(bytes: VGA.romBytes) }
        vramBlock = arena.allocate(bytes: settings.videoMemoryMiB << 20)

        devices = PC.chips(settings, vram: vramBlock)
        place = Places(devices)
        try bus.connect(devices)
        // Nothing throws from here on.
        counted = .allocate(capacity: 1)
        counted.initialize(to: CountedTime(nanosecondsPerInstruction: PC.nanosecondsPerInstruction))
        paced = .allocate(capacity: 1)
        paced.initialize(to: PacedTime())
        var slots = [UInt8](repeating: 255, count: 256)
        for (position, device) in devices.enumerated() {
            // Firmware that finds power management makes ACPI tables of its own.
            if !settings.acpi, device is PowerManagement { continue }
            if let (number, function) = device.pciAddress { slots[(number & 31) << 3 | function & 7] = UInt8(position) }
        }
        functions = slots
        wires = Wires(now: 0, memory: memory)
        driven = [UInt32](repeating: 0, count: devices.count)
        deadlines = [Nanoseconds](repeating: .max, count: devices.count)
        engine = NoEngine()
        engines = (0..<settings.cpus).map { makeEngine(self, memory, $0) }
        engine = engines[0]
        for case let processor as Processor in engines {
            if isVirtual { processor.countedTime = UnsafePointer(counted) } else { processor.pacedTime = paced }
        }
        for application in engines.dropFirst() { application.initialise(waiting: true) }
        settings.bios.withUnsafeBytes { arena.fill(biosBlock, at: 0, with: $0) }
        if let block = vgaROMBlock { settings.vgaBIOS.withUnsafeBytes { arena.fill(block, at: 0, with: $0) } }
        writeCMOS()
        refreshDeadlines()
        mapMemory()
        settleInterrupts()
    }

    deinit {
        counted.deallocate()
        paced.deallocate()
    }

    /// The board with the interpreter in its socket.
    /// - Throws: as the designated initialiser.
    public convenience init(_ settings: BoardSettings) throws(BoardError) {
        try self.init(settings) { bus, memory, number in
            let processor = Processor(memory: memory, bus: bus, model: settings.processor, apicID: UInt8(number), translation: settings.translation)
            processor.yieldsOnPause = settings.cpus > 1
            return processor
        }
    }

    /// The bootstrap processor, where it is the interpreter: for loaders and debuggers.
    public var processor: Processor? { engines[0] as? Processor }

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
        pendingINIT = 0
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
        for processor in engines { processor.reset() }
        if hasFailed { for processor in processors { processor.forgetDecoded() } }
        hasFailed = false
        for application in engines.dropFirst() { application.initialise(waiting: true) }
        select(0)
        turnLeft = PC.turn
        writeCMOS()
        bus.reconnect(devices)
        refreshDeadlines()
        mapMemory()
        settleInterrupts()
    }

    /// INIT: processors and their local APICs only.
    func initialiseProcessors() {
        let mask = pendingINIT
        pendingINIT = 0
        for (number, processor) in engines.enumerated() where mask >> UInt32(number) & 1 != 0 {
            chip(place.lapics[number], LAPIC.self) { $0.resetByINIT() }
            processor.initialise(waiting: number > 0)
        }
        if mask & 1 != 0 { memory.setA20(true) }
        settleInterrupts()
    }

    // MARK: Processors

    var allProcessors: UInt32 { (1 << UInt32(engines.count)) - 1 }

    /// Makes a processor the one that runs.
    func select(_ number: Int) {
        guard number != current else { return }
        retiredElsewhere = retiredElsewhere &+ engine.retired &- engines[number].retired
        current = number
        engine = engines[number]
    }

    /// A processor has something new to look at: the running one leaves its loop, for the other when it was alone until now.
    func attend(_ number: Int) { if number == current || alone { engine.requestExit() } }

    // MARK: State

    /// A digest of the processor, RAM, video memory, chips and the board's own latches: equal for two runs that are identical.
    public func digest() -> String {
        var digest = Digest()
        for processor in engines { processor.digest(into: &digest) }
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
        digest.combine(retired)
        if engines.count > 1 { for word in [UInt64(current), UInt64(turnLeft)] { digest.combine(word) } }
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
    func initialise(waiting: Bool) {}
    func startUp(vector: UInt8) -> Bool { false }
    var isIdle: Bool { true }
    func requestExit() {}
    func digest(into digest: inout Digest) {}
}
