import CPU
import Primitives

/// Intel local APIC of a Pentium 4 class processor (version 14h), xAPIC mode.
///
/// Source: SDM Vol. 3A, chapter "Advanced Programmable Interrupt Controller (APIC)".
///
///     offset    register                    offset    register
///     020 030   ID, version                 300 310   ICR
///     080 0A0   TPR, PPR                    320–370   LVT timer, thermal, performance, LINT0, LINT1, error
///     0B0       EOI                         380 390   timer initial count, current count
///     0D0 0E0   LDR, DFR                    3E0       timer divide configuration
///     0F0       SVR
///     100–270   ISR, TMR, IRR               280       ESR
///
/// The timer counts a bus clock of 1 GHz. After reset LINT0 of the bootstrap processor is unmasked in ExtINT mode, a deviation (the
/// manual masks it): firmware that knows no APIC gets the 8259's interrupts as on a board with the virtual wire in place.
///
/// The board arbitrates lowest-priority messages: the processor with the lowest PPR takes them, of equals the first.
///
/// Not implemented: x2APIC, TSC-deadline timer, CMCI, focus processor checking, SMI, send-accept errors, level-triggered LINT pins in
/// fixed mode (they act on the rising edge).
public struct LAPIC: Device {
    public static let name = "lapic"
    /// Address after reset.
    public static let defaultBase: Physical = 0xFEE0_0000

    /// Initial APIC ID; 0 is the bootstrap processor.
    public let index: UInt8
    /// IA32_APIC_BASE: bits 35–12 base, 11 enable, 8 bootstrap processor.
    public private(set) var apicBase: UInt64
    public private(set) var id: UInt8
    public private(set) var tpr: UInt8 = 0
    public private(set) var ldr: UInt8 = 0
    /// Bits 31–28; the rest reads as ones.
    public private(set) var dfr: UInt32 = 0xFFFF_FFFF
    public private(set) var svr: UInt32 = 0xFF
    /// In-service, trigger mode and request registers: 8 words of 32 vectors.
    public private(set) var isr = [UInt32](repeating: 0, count: 8)
    public private(set) var tmr = [UInt32](repeating: 0, count: 8)
    public private(set) var irr = [UInt32](repeating: 0, count: 8)
    /// Errors visible in ESR, and those since the last write to it.
    public private(set) var esr: UInt32 = 0
    public private(set) var errors: UInt32 = 0
    public private(set) var icrLow: UInt32 = 0
    public private(set) var icrHigh: UInt32 = 0
    /// Timer, thermal, performance, LINT0, LINT1, error.
    public private(set) var lvt = [UInt32](repeating: Bit.masked, count: 6)
    public private(set) var initialCount: UInt32 = 0
    /// When the count was loaded, guest time.
    public private(set) var countStart: Nanoseconds = 0
    /// When the timer reaches zero; nil: stopped.
    public private(set) var deadline: Nanoseconds?
    /// Divide configuration, bits 3, 1, 0.
    public private(set) var divide: UInt8 = 0
    /// Level of the LINT0 pin, where the 8259's INTR arrives.
    public private(set) var lint0 = false
    /// Level of the LINT1 pin, where NMI arrives.
    public private(set) var lint1 = false
    /// Messages for other APICs and vectors whose level-triggered service ended; the board takes both after each call.
    public private(set) var outgoing: [APICMessage] = []
    public private(set) var ended: [UInt8] = []
    /// An NMI, INIT, SIPI (its vector) arrived for the processor; the board takes it.
    public private(set) var nmiArrived = false
    public private(set) var initArrived = false
    public private(set) var startUpArrived: UInt8?

    public init(index: UInt8 = 0) {
        self.index = index
        id = index
        apicBase = LAPIC.defaultBase | Bit.enable | (index == 0 ? Bit.bootstrap : 0)
        powerOnPins()
    }

    private mutating func powerOnPins() { if index == 0 { lvt[Entry.lint0] = UInt32(APICMessage.Mode.external.rawValue) << 8 } }

    public var ports: [ClosedRange<Port>] { [] }
    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 { 0xFF }
    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {}

    public var windows: [ClosedRange<Physical>] {
        guard enabled else { return [] }
        return [base...(base + 0xFFF)]
    }

    public var base: Physical { apicBase & 0xF_FFFF_F000 }
    /// Switched on in IA32_APIC_BASE.
    public var enabled: Bool { apicBase & Bit.enable != 0 }
    /// Switched on in SVR.
    public var softwareEnabled: Bool { svr & 0x100 != 0 }

    public mutating func reset() {
        let pins = (lint0, lint1)
        self = LAPIC(index: index)
        (lint0, lint1) = pins
    }

    /// INIT: as reset, but the ID and IA32_APIC_BASE stay. SDM Vol. 3A, "Local APIC State After an INIT Reset".
    public mutating func resetByINIT() {
        let (oldBase, oldID) = (apicBase, id)
        reset()
        (apicBase, id) = (oldBase, oldID)
    }

    // MARK: IA32_APIC_BASE

    /// WRMSR 1Bh. False: a reserved bit was set, nothing changed, the processor raises #GP.
    public mutating func writeBase(_ value: UInt64) -> Bool {
        guard value & ~(0xF_FFFF_F000 | Bit.enable | Bit.bootstrap) == 0 else { return false }
        let wasEnabled = enabled
        apicBase = value & ~Bit.bootstrap | apicBase & Bit.bootstrap
        if wasEnabled, !enabled {
            // Switching off loses all state, as a reset does.
            let kept = apicBase
            reset()
            apicBase = kept
        }
        return true
    }

    // MARK: Registers

    public mutating func readMemory(_ address: Physical, size: Int, _ wires: inout Wires) -> UInt64 {
        let offset = Int(truncatingIfNeeded: address & 0xFFF)
        var value: UInt64 = 0
        for i in 0..<max(0, min(size, 8)) {
            let at = offset + i
            // Registers are 32 bits at 16-byte spacing; the space between reads as 0.
            let byte = at & 0xF < 4 ? register(at & 0xFF0, wires.now) >> UInt32(8 * (at & 3)) & 0xFF : 0
            value |= UInt64(byte) << UInt64(8 * i)
        }
        if !isReadable(offset & 0xFF0) { note(error: Bit.illegalRegister) }
        return value
    }

    public mutating func writeMemory(_ address: Physical, size: Int, _ value: UInt64, _ wires: inout Wires) {
        let offset = Int(truncatingIfNeeded: address & 0xFFF)
        // Only aligned 32-bit stores are defined; the wide ones of MMX reach the first register.
        guard offset & 0xF == 0, size >= 4 else { return }
        write(offset, UInt32(truncatingIfNeeded: value), wires.now)
    }

    private func isReadable(_ offset: Int) -> Bool {
        switch offset {
        case 0x020, 0x030, 0x080...0x0A0, 0x0B0, 0x0C0, 0x0D0...0x0F0, 0x100...0x280, 0x300, 0x310, 0x320...0x390, 0x3E0: true
        default: false
        }
    }

    private func register(_ offset: Int, _ now: Nanoseconds) -> UInt32 {
        let word = offset >> 4 & 7
        switch offset {
        case 0x020: return UInt32(id) << 24
        case 0x030: return 0x0005_0014
        case 0x080: return UInt32(tpr)
        case 0x0A0: return UInt32(ppr)
        case 0x0D0: return UInt32(ldr) << 24
        case 0x0E0: return dfr
        case 0x0F0: return svr
        case 0x100...0x170: return isr[word]
        case 0x180...0x1F0: return tmr[word]
        case 0x200...0x270: return irr[word]
        case 0x280: return esr
        case 0x300: return icrLow
        case 0x310: return icrHigh
        case 0x320...0x370: return lvt[(offset - 0x320) >> 4]
        case 0x380: return initialCount
        case 0x390: return currentCount(now)
        case 0x3E0: return UInt32(divide)
        default: return 0
        }
    }

    private mutating func write(_ offset: Int, _ value: UInt32, _ now: Nanoseconds) {
        switch offset {
        case 0x020: id = UInt8(truncatingIfNeeded: value >> 24)
        case 0x080: tpr = UInt8(truncatingIfNeeded: value)
        case 0x0B0: endOfInterrupt()
        case 0x0D0: ldr = UInt8(truncatingIfNeeded: value >> 24)
        case 0x0E0: dfr = value | 0x0FFF_FFFF
        case 0x0F0:
            svr = value & 0x3FF
            // While software-disabled every LVT entry is masked and stays so.
            if !softwareEnabled { for i in 0..<6 { lvt[i] |= Bit.masked } }
        case 0x280:
            esr = errors
            errors = 0
        case 0x300:
            icrLow = value & 0x000C_CFFF
            sendICR()
        case 0x310: icrHigh = value & 0xFF00_0000
        case 0x320...0x370: writeEntry((offset - 0x320) >> 4, value)
        case 0x380:
            initialCount = value
            startTimer(now)
        case 0x390: break  // current count is read-only
        case 0x3E0:
            // The running count keeps its value and goes on at the new rate.
            let left = currentCount(now)
            let running = deadline != nil
            divide = UInt8(truncatingIfNeeded: value) & 0xB
            if running { resumeTimer(from: left, now) }
        default: if !isReadable(offset) { note(error: Bit.illegalRegister) }
        }
    }

    private mutating func writeEntry(_ index: Int, _ value: UInt32) {
        let writable: [UInt32] = [0x3_00FF, 0x1_07FF, 0x1_07FF, 0x1_A7FF, 0x1_A7FF, 0x1_00FF]
        lvt[index] = value & writable[index] | (softwareEnabled ? 0 : Bit.masked)
    }

    // MARK: Priorities

    private static func highest(_ words: [UInt32]) -> UInt8? {
        for i in stride(from: 7, through: 0, by: -1) where words[i] != 0 {
            return UInt8(truncatingIfNeeded: i * 32 + 31 - words[i].leadingZeroBitCount)
        }
        return nil
    }

    /// Processor priority: the higher of TPR and the class in service.
    public var ppr: UInt8 {
        let service = (LAPIC.highest(isr) ?? 0) & 0xF0
        return tpr & 0xF0 >= service ? tpr : service
    }

    /// The vector that would be delivered now.
    public var pending: UInt8? {
        guard enabled, softwareEnabled, let vector = LAPIC.highest(irr), vector & 0xF0 > ppr & 0xF0 else { return nil }
        return vector
    }

    /// The processor takes the interrupt: request becomes service.
    public mutating func acknowledge() -> UInt8? {
        guard let vector = pending else { return nil }
        irr[Int(vector >> 5)] &= ~(1 << UInt32(vector & 31))
        isr[Int(vector >> 5)] |= 1 << UInt32(vector & 31)
        return vector
    }

    /// CR8 is the upper half of TPR.
    public mutating func setTaskPriority(_ value: UInt8) { tpr = value }

    private mutating func endOfInterrupt() {
        guard let vector = LAPIC.highest(isr) else { return }
        isr[Int(vector >> 5)] &= ~(1 << UInt32(vector & 31))
        if tmr[Int(vector >> 5)] >> UInt32(vector & 31) & 1 != 0 { ended.append(vector) }
    }

    private mutating func request(_ vector: UInt8, level: Bool) {
        guard vector >= 16 else { return note(error: Bit.receiveIllegalVector) }
        let bit: UInt32 = 1 << UInt32(vector & 31)
        irr[Int(vector >> 5)] |= bit
        if level { tmr[Int(vector >> 5)] |= bit } else { tmr[Int(vector >> 5)] &= ~bit }
    }

    private mutating func note(error: UInt32) {
        errors |= error
        let lvtError = lvt[Entry.error]
        let vector = UInt8(truncatingIfNeeded: lvtError)
        if lvtError & Bit.masked == 0, vector >= 16 { request(vector, level: false) }
    }

    // MARK: Messages

    /// The message's destination includes this APIC.
    public func matches(_ message: APICMessage) -> Bool {
        switch message.shorthand {
        case .itself: return message.source == id
        case .all: return true
        case .allButSelf: return message.source != id
        case .none: break
        }
        if !message.logical { return message.destination == 0xFF || message.destination == id }
        if message.destination == 0xFF { return true }
        return dfr >> 28 == 0xF  // flat model, else clusters of four
            ? message.destination & ldr != 0
            : message.destination >> 4 == ldr >> 4 && message.destination & ldr & 0xF != 0
    }

    /// Takes a message from the APIC bus; false when it is for somebody else or cannot be taken.
    @discardableResult
    public mutating func accept(_ message: APICMessage) -> Bool {
        guard enabled, matches(message) else { return false }
        switch message.mode {
        case .fixed, .lowestPriority:
            guard softwareEnabled else { return false }
            request(message.vector, level: message.level)
        case .nmi: nmiArrived = true
        case .initialise: if message.assert { initArrived = true }
        case .startUp: startUpArrived = message.vector  // a running processor ignores it
        case .smi, .reserved, .external: return false
        }
        return true
    }

    private mutating func sendICR() {
        var message = APICMessage(
            vector: UInt8(truncatingIfNeeded: icrLow), mode: APICMessage.Mode(rawValue: UInt8(icrLow >> 8 & 7)) ?? .fixed,
            destination: UInt8(truncatingIfNeeded: icrHigh >> 24), logical: icrLow & 0x800 != 0, level: false)
        message.shorthand = APICMessage.Shorthand(rawValue: UInt8(icrLow >> 18 & 3)) ?? .none
        message.source = id
        if message.mode == .initialise, icrLow & 0xC000 == 0x8000 { message.assert = false }
        if message.mode == .fixed || message.mode == .lowestPriority, message.vector < 16 { return note(error: Bit.sendIllegalVector) }
        // A processor cannot INIT or start itself by shorthand.
        if message.shorthand == .itself, message.mode != .fixed { return }
        outgoing.append(message)
    }

    /// The board collects what this APIC has to say.
    public mutating func takeOutgoing() -> [APICMessage] {
        defer { outgoing.removeAll() }
        return outgoing
    }
    public mutating func takeEnded() -> [UInt8] {
        defer { ended.removeAll() }
        return ended
    }
    public mutating func takeNMI() -> Bool {
        defer { nmiArrived = false }
        return nmiArrived
    }
    public mutating func takeINIT() -> Bool {
        defer { initArrived = false }
        return initArrived
    }

    public mutating func takeStartUp() -> UInt8? {
        defer { startUpArrived = nil }
        return startUpArrived
    }

    /// Takes part in the arbitration for a lowest-priority message.
    func competes(for message: APICMessage) -> Bool { enabled && softwareEnabled && matches(message) }

    // MARK: Pins

    /// INTR of the 8259. True when it must go straight through to the processor (APIC off, or LINT0 in ExtINT mode).
    public mutating func setLINT0(_ level: Bool) -> Bool {
        let rose = level && !lint0
        lint0 = level
        guard enabled else { return level }
        let entry = lvt[Entry.lint0]
        guard entry & Bit.masked == 0 else { return false }
        if mode(entry) == .external { return level }
        if rose { deliver(entry) }
        return false
    }

    /// NMI of the board. Acts on the rising edge.
    public mutating func setLINT1(_ level: Bool) {
        let rose = level && !lint1
        lint1 = level
        guard rose else { return }
        if !enabled { nmiArrived = true } else if lvt[Entry.lint1] & Bit.masked == 0 { deliver(lvt[Entry.lint1]) }
    }

    private func mode(_ entry: UInt32) -> APICMessage.Mode { APICMessage.Mode(rawValue: UInt8(entry >> 8 & 7)) ?? .fixed }

    private mutating func deliver(_ entry: UInt32) {
        switch mode(entry) {
        case .fixed: request(UInt8(truncatingIfNeeded: entry), level: false)
        case .nmi: nmiArrived = true
        case .initialise: initArrived = true
        default: break
        }
    }

    // MARK: Timer

    /// Nanoseconds of one count: the bus clock of 1 GHz through the divider.
    private var tick: UInt64 {
        let code = Int(divide & 3) | Int(divide & 8) >> 1
        return [2, 4, 8, 16, 32, 64, 128, 1][code]
    }

    private mutating func startTimer(_ now: Nanoseconds) {
        countStart = now
        deadline = initialCount == 0 ? nil : now &+ UInt64(initialCount) &* tick
    }

    private mutating func resumeTimer(from left: UInt32, _ now: Nanoseconds) {
        deadline = now &+ UInt64(max(left, 1)) &* tick
        countStart = now
    }

    private func currentCount(_ now: Nanoseconds) -> UInt32 {
        guard let end = deadline, end > now else { return 0 }
        let left = end - now
        return UInt32(truncatingIfNeeded: min(left / tick + (left % tick == 0 ? 0 : 1), UInt64(UInt32.max)))
    }

    public mutating func fire(_ wires: inout Wires) {
        guard let end = deadline, wires.now >= end else { return }
        let timer = lvt[Entry.timer]
        if timer & Bit.periodic != 0, initialCount != 0 {
            // Periods missed while the host was late are one interrupt, as on a processor that was busy.
            let period = UInt64(initialCount) &* tick
            let missed = (wires.now - end) / period
            countStart = end &+ missed &* period
            deadline = countStart &+ period
        } else {
            deadline = nil
        }
        if timer & Bit.masked == 0, softwareEnabled { request(UInt8(truncatingIfNeeded: timer), level: false) }
    }

    private enum Entry {
        static let timer = 0, lint0 = 3, lint1 = 4, error = 5
    }
    private enum Bit {
        static let enable: UInt64 = 1 << 11, bootstrap: UInt64 = 1 << 8
        static let masked: UInt32 = 1 << 16, periodic: UInt32 = 1 << 17
        // Error status register.
        static let sendIllegalVector: UInt32 = 1 << 5, receiveIllegalVector: UInt32 = 1 << 6, illegalRegister: UInt32 = 1 << 7
    }
}
