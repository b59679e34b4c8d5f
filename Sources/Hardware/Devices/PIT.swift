import Primitives

/// Intel 8254 programmable interval timer with the PC's port 0x61 (speaker gate, refresh toggle, NMI status).
///
/// Source: Intel *8254 Programmable Interval Timer* data sheet (order 231164); Intel *82371FB/82371SB* data sheet (order 290550),
/// "Counter/Timer" and "NMISC—NMI Status and Control Register".
///
///     port       R/W
///     0x40–0x42  R/W  counters 0–2
///     0x43        W   control word, counter latch, read-back
///     0x61       R/W  0 gate 2, 1 speaker data, 2 SERR# off, 3 IOCHK# off; read: 4 refresh toggle, 5 OUT 2, 6 IOCHK#, 7 SERR#
///
/// The counters run at 1,193,182 Hz, derived from guest time without drift. They are computed when somebody looks; the only
/// deadlines are rising edges of OUT 0, because nothing but the interrupt controllers sees that pin. The IRQ0 line falls only
/// just before the next rising edge, or when the counter is reprogrammed: a tick is not lost by a guest that keeps interrupts
/// off through the low half of a square wave.
///
/// Not implemented: a count of 1 in modes 2 and 3 (illegal in the data sheet) gives no edges.
public struct PIT: Device {
    public static let name = "pit"

    static let rate = ClockRate(hertz: 1_193_182)
    /// Half a period of the refresh toggle, in nanoseconds (one refresh request each 15.085 µs).
    static let refreshTime: Nanoseconds = 15_085

    public private(set) var counters = [Counter](repeating: Counter(), count: 3)
    /// Port 0x61 bits 3…0 as written.
    public private(set) var control: UInt8 = 0
    /// Port 0x61 bits 7 and 6: an error was reported and its enable bit has not been cycled.
    public private(set) var systemError = false, channelCheck = false
    /// Level that the IRQ0 line has.
    public private(set) var line = false
    /// A rising edge of OUT 0 has passed and the line has not shown it yet.
    public private(set) var edgeOwed = false
    public private(set) var deadline: Nanoseconds?

    public init() { counters[2].gate = false }

    public var ports: [ClosedRange<Port>] { [0x40...0x43, 0x61...0x61] }

    /// To the power-on state. (The 8254 has no reset pin; firmware programs every counter it uses.)
    public mutating func reset() { self = PIT() }

    // MARK: Speaker

    /// What the PC speaker plays.
    public struct Speaker: Equatable, Sendable {
        public var on: Bool
        /// Of the square wave, in hertz; 0 when off or when the cone is driven by software alone.
        public var frequency: Double
    }

    public var speaker: Speaker {
        let counter = counters[2]
        let plays = control & 0b11 == 0b11 && counter.isPeriodic && counter.reload > 1
        return Speaker(on: plays, frequency: plays ? Double(Self.rate.hertz) / Double(counter.reload) : 0)
    }

    // MARK: NMI sources

    /// SERR#: a parity or system error. NMI unless the guest disabled it.
    public mutating func reportSystemError(_ wires: inout Wires) {
        if control & 0b0100 == 0 { systemError = true }
        driveNMI(&wires)
    }

    /// IOCHK#: an adapter's error.
    public mutating func reportChannelCheck(_ wires: inout Wires) {
        if control & 0b1000 == 0 { channelCheck = true }
        driveNMI(&wires)
    }

    private func driveNMI(_ wires: inout Wires) { wires.set(irq: 20, systemError || channelCheck) }

    // MARK: Ports

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 {
        switch port {
        case 0x40...0x42:
            advance(&wires)
            let value = counters[Int(port - 0x40)].read()
            settle(&wires)
            return value
        case 0x61:
            advance(&wires)
            settle(&wires)
            let refresh: UInt8 = wires.now / Self.refreshTime & 1 != 0 ? 0x10 : 0
            return control | refresh | (counters[2].out ? 0x20 : 0) | (channelCheck ? 0x40 : 0) | (systemError ? 0x80 : 0)
        default: return 0xFF
        }
    }

    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        advance(&wires)
        let out = counters[0].out
        switch port {
        case 0x40...0x42: counters[Int(port - 0x40)].write(value)
        case 0x43:
            wires.trace(.pit, .counterControl, value: UInt64(value))
            writeControl(value)
        case 0x61:
            control = value & 0x0F
            if control & 0b0100 != 0 { systemError = false }
            if control & 0b1000 != 0 { channelCheck = false }
            counters[2].setGate(control & 1 != 0)
            driveNMI(&wires)
        default: return
        }
        if counters[0].out != out {
            // OUT 0 moved by programming.
            edgeOwed = !out
            if out { drive(false, &wires) }
        }
        settle(&wires)
    }

    private mutating func writeControl(_ value: UInt8) {
        let select = Int(value >> 6)
        guard select == 3 else {
            if value >> 4 & 3 == 0 { counters[select].latchCount() } else { counters[select].program(value & 0x3F) }
            return
        }
        for n in 0..<3 where value & (2 << UInt8(n)) != 0 {
            if value & 0b0010_0000 == 0 { counters[n].latchCount() }
            if value & 0b0001_0000 == 0 { counters[n].latchStatus() }
        }
    }

    public func peek(_ port: Port) -> UInt8 {
        switch port {
        case 0x40...0x42: counters[Int(port - 0x40)].peek()
        case 0x61: control | (counters[2].out ? 0x20 : 0) | (channelCheck ? 0x40 : 0) | (systemError ? 0x80 : 0)
        default: 0xFF
        }
    }

    // MARK: Time

    public mutating func fire(_ wires: inout Wires) {
        advance(&wires)
        settle(&wires)
    }

    private mutating func advance(_ wires: inout Wires) {
        let tick = Self.rate.ticks(at: wires.now)
        if let rise = counters[0].nextRise, rise <= tick { edgeOwed = true }
        for n in 0..<3 { counters[n].advance(to: tick) }
    }

    /// Shows an owed edge on the line: low first where it is high, so that the edge is one; high in the next nanosecond.
    private mutating func settle(_ wires: inout Wires) {
        if edgeOwed {
            if line {
                drive(false, &wires)
                deadline = wires.now &+ 1
                return
            }
            drive(true, &wires)
            edgeOwed = false
        }
        deadline = counters[0].nextRise.map(Self.rate.time(of:))
    }

    private mutating func drive(_ level: Bool, _ wires: inout Wires) {
        line = level
        wires.set(irq: 0, level)
    }
}
