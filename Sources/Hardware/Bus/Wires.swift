import CPU
import Primitives

/// What a chip can reach while it is being called: the time, its interrupt lines, guest memory for bus masters, its media.
/// A chip keeps none of it.
public struct Wires {
    /// Guest time of this call.
    public internal(set) var now: Nanoseconds
    /// Level of the interrupt lines as the board sees them; a chip sets and clears only its own.
    /// Bits 0–15: ISA IRQ0–15. Bits 16–19: PCI INTA#–INTD# after slot swizzling (PIRQA–PIRQD). Bit 20: NMI.
    public var lines: UInt32
    /// DMA request lines DREQ0–DREQ7; the board serves them after the call, through `Device.dmaTransfer`.
    public var dreq: UInt8 = 0
    /// Guest-physical memory for bus-mastering chips. Writes through it drop stale decoded code.
    public let memory: GuestMemory
    /// Media in the bays, by number as in `Bay`; nil where nothing is inserted.
    public var media: MediaBays
    /// What the chip asks of the board, carried out after the call, in order.
    public var requests: [BoardRequest] = []
    /// Where chips tell what they do; nil: nobody listens.
    public var tap: BoardTap?
    /// Where the processor is, for those who listen.
    var position: UInt64 = 0

    public init(now: Nanoseconds, lines: UInt32 = 0, memory: GuestMemory, media: MediaBays = MediaBays()) {
        self.now = now
        self.lines = lines
        self.memory = memory
        self.media = media
    }

    public mutating func raise(irq: Int) { lines |= 1 << UInt32(irq) }
    public mutating func lower(irq: Int) { lines &= ~(1 << UInt32(irq)) }
    public mutating func set(irq: Int, _ level: Bool) { if level { raise(irq: irq) } else { lower(irq: irq) } }
    /// PCI interrupt pins: 0 = PIRQA … 3 = PIRQD.
    public mutating func set(pirq: Int, _ level: Bool) { set(irq: 16 + pirq, level) }
    public mutating func request(_ request: BoardRequest) { requests.append(request) }
}

/// What a chip can ask the board to do once its own call has returned.
public enum BoardRequest: Equatable, Sendable {
    /// Gate A20 from port 0x92 or the keyboard controller.
    case setA20(Bool)
    /// Memory decoding changed (PAM, BAR, SMRAM): rebuild the physical map.
    case remap
    /// Reset line: the whole machine (`cold`: false) or only the vCPU's INIT.
    case reset(cpuOnly: Bool)
    case powerOff
    /// The debug-exit port was written; the run ends with this status.
    case debugExit(UInt8)
    /// Bytes the guest wrote to a console-like port, for the host side. See `HostStream`.
    case emit(HostStream, [UInt8])
    /// Firmware hook of the boot ROM: start the kernel that the settings name.
    case bootHook(UInt8)
}

/// Where guest bytes go on the host.
public enum HostStream: Hashable, Sendable {
    case serial(Int)  // 0 = COM1
    case parallel
    case virtioConsole
    case debugConsole(Port)
}
