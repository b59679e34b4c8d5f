import CPU
import Primitives

/// National Semiconductor PC16550D UART with FIFOs, as COM1–COM4 of a PC.
///
/// Source: National Semiconductor *PC16550D Universal Asynchronous Receiver/Transmitter with FIFOs* data sheet (1995); port and
/// interrupt assignment per IBM *PC/AT Technical Reference* (1984).
///
///     offset  DLAB=0 read   DLAB=0 write   DLAB=1
///     0       RBR           THR            DLL
///     1       IER           IER            DLM
///     2       IIR           FCR            IIR/FCR
///     3       LCR           LCR            LCR
///     4       MCR           MCR            MCR
///     5       LSR           -              LSR
///     6       MSR           -              MSR
///     7       SCR           SCR            SCR
///
/// The transmitter is as fast as the host: a byte written to THR leaves at once and THRE is set again, so a driver never waits for
/// a line that is not there. The receiver keeps the programmed character time, so a guest without FIFO is not overrun.
///
/// Not implemented: parity and framing errors (the line has none), DMA signalling (RXRDY, TXRDY; FCR bit 3 is ignored), break to the host.
public struct UART: Device {
    public static let name = "uart"
    /// Bytes that the host may queue ahead of the receiver.
    public static let queueBytes = 4096

    /// First ports and ISA interrupts of COM1–COM4.
    static let portBases: [Port] = [0x3F8, 0x2F8, 0x3E8, 0x2E8]
    static let irqs = [4, 3, 4, 3]

    /// 0 = COM1.
    public let index: Int
    /// First of 8 ports.
    public let base: Port
    /// ISA interrupt line; COM1 and COM3 share one, COM2 and COM4 the other.
    public let irq: Int

    /// Interrupt enables, bits 0–3.
    public private(set) var ier: UInt8 = 0
    /// FIFO control as written; only bits 0, 6 and 7 are kept.
    public private(set) var fcr: UInt8 = 0
    public private(set) var lcr: UInt8 = 0
    public private(set) var mcr: UInt8 = 0
    /// Error bits 1–4 of the line status; the others are derived.
    public private(set) var lineErrors: UInt8 = 0
    /// Change bits 0–3 of the modem status.
    public private(set) var modemDeltas: UInt8 = 0
    public private(set) var scr: UInt8 = 0
    /// Divisor of the 115200 Hz baud base; 0 counts as 1.
    public private(set) var divisor: UInt16 = 12
    /// Received bytes, oldest first: 16 at most, 1 with the FIFO off.
    public private(set) var fifo: [UInt8] = []
    /// Bytes from the host that wait for their character time.
    public private(set) var queue: [UInt8] = []
    /// The transmitter-empty interrupt is pending.
    public private(set) var transmitPending = false
    /// The character-timeout interrupt is pending.
    public private(set) var timeoutPending = false
    /// When the next queued byte arrives.
    public private(set) var arrival: Nanoseconds?
    /// When the FIFO counts as idle.
    public private(set) var timeout: Nanoseconds?

    /// COM1–COM4 at their usual places; `index` 0–3.
    public init(index: Int) {
        self.index = index & 3
        base = UART.portBases[index & 3]
        irq = UART.irqs[index & 3]
    }

    public var ports: [ClosedRange<Port>] { [base...(base + 7)] }

    public mutating func reset() {
        // The divisor, the scratch register and the received bytes survive MR on the real part; the queue is the host's.
        ier = 0
        fcr = 0
        lcr = 0
        mcr = 0
        lineErrors = 0
        modemDeltas = 0
        fifo = []
        transmitPending = false
        timeoutPending = false
        timeout = nil
    }

    // MARK: Ports

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 {
        let value = peek(port)
        switch port &- base {
        case 0 where !dlab:
            if !fifo.isEmpty { fifo.removeFirst() }
            timeoutPending = false
            timeout = fifo.isEmpty || !fifoOn ? nil : wires.now &+ 4 &* characterTime
            scheduleArrival(wires.now)
        case 2: if value & 0xF == Cause.transmitterEmpty { transmitPending = false }
        case 5: lineErrors = 0
        case 6: modemDeltas = 0
        default: break
        }
        update(&wires)
        return value
    }

    public func peek(_ port: Port) -> UInt8 {
        switch port &- base {
        case 0: dlab ? UInt8(truncatingIfNeeded: divisor) : fifo.first ?? 0
        case 1: dlab ? UInt8(truncatingIfNeeded: divisor >> 8) : ier
        case 2: cause | (fifoOn ? 0xC0 : 0)
        case 3: lcr
        case 4: mcr
        case 5: lineErrors | Line.thre | Line.temt | (fifo.isEmpty ? 0 : Line.dataReady)
        case 6: modemLines | modemDeltas
        case 7: scr
        default: 0xFF
        }
    }

    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        switch port &- base {
        case 0:
            if dlab {
                divisor = divisor & 0xFF00 | UInt16(value)
            } else {
                transmit(value, &wires)
            }
        case 1:
            if dlab {
                divisor = divisor & 0x00FF | UInt16(value) << 8
            } else {
                // Enabling the interrupt while THR is empty raises it (data sheet, table of interrupt control functions).
                if value & ~ier & Enable.transmitterEmpty != 0 { transmitPending = true }
                ier = value & 0x0F
            }
        case 2: writeFCR(value)
        case 3: lcr = value
        case 4:
            let before = modemLines
            mcr = value & 0x1F
            noteModemChange(from: before)
        case 7: scr = value
        default: break  // LSR and MSR are read-only here (writing them is for factory tests)
        }
        scheduleArrival(wires.now)  // the FIFO may have been emptied or loopback left
        update(&wires)
    }

    private mutating func writeFCR(_ value: UInt8) {
        if (value ^ fcr) & 1 != 0 || value & 0b10 != 0 {
            fifo = []
            timeoutPending = false
            timeout = nil
        }
        if value & 0b100 != 0 || (value ^ fcr) & 1 != 0 { transmitPending = true }
        // The other bits can only be programmed while bit 0 is written as 1.
        fcr = value & 1 != 0 ? value & 0xC1 : 0
    }

    private mutating func transmit(_ value: UInt8, _ wires: inout Wires) {
        transmitPending = true
        let byte = value & characterMask
        if mcr & Modem.loop != 0 { accept(byte, wires.now) } else { wires.request(.emit(.serial(index), [byte])) }
    }

    // MARK: Receiver

    /// Bytes from the host; they arrive at the line's speed. Returns how many were taken, fewer when the queue is full.
    public mutating func receive(_ bytes: [UInt8], _ wires: inout Wires) -> Int {
        let taken = min(bytes.count, UART.queueBytes - queue.count)
        guard taken > 0 else { return 0 }
        queue.append(contentsOf: bytes.prefix(taken))
        scheduleArrival(wires.now)
        update(&wires)
        return taken
    }

    /// The sender holds the next byte while the receiver is full, as with hardware flow control.
    private mutating func scheduleArrival(_ now: Nanoseconds) {
        guard !queue.isEmpty, fifo.count < (fifoOn ? 16 : 1), mcr & Modem.loop == 0 else {
            arrival = nil
            return
        }
        if arrival == nil { arrival = now &+ characterTime }
    }

    private mutating func accept(_ byte: UInt8, _ now: Nanoseconds) {
        if fifo.count >= (fifoOn ? 16 : 1) {
            lineErrors |= Line.overrun
            // With FIFO the shift register is lost; without, the holding register is overwritten.
            if !fifoOn { fifo = [byte] }
        } else {
            fifo.append(byte)
        }
        timeoutPending = false
        timeout = fifoOn ? now &+ 4 &* characterTime : nil
    }

    // MARK: Time

    public var deadline: Nanoseconds? {
        switch (arrival, timeout) {
        case (let a?, let t?): min(a, t)
        case (let a, let t): a ?? t
        }
    }

    public mutating func fire(_ wires: inout Wires) {
        if let at = timeout, wires.now >= at {
            timeout = nil
            timeoutPending = !fifo.isEmpty
        }
        if let at = arrival, wires.now >= at {
            arrival = nil
            if !queue.isEmpty, fifo.count < (fifoOn ? 16 : 1), mcr & Modem.loop == 0 {
                accept(queue.removeFirst() & characterMask, wires.now)
            }
        }
        scheduleArrival(wires.now)
        update(&wires)
    }

    /// Start, data, parity and stop bits at the programmed rate, in nanoseconds. At most a millisecond: no host types slower.
    private var characterTime: Nanoseconds {
        let bits = 7 + UInt64(lcr & 3) + (lcr >> 2 & 1 == 1 ? 1 : 0) + (lcr >> 3 & 1 == 1 ? 1 : 0)
        return min(bits * UInt64(max(divisor, 1)) * 1_000_000_000 / 115_200, 1_000_000)
    }

    // MARK: Derived

    private var dlab: Bool { lcr & 0x80 != 0 }
    private var fifoOn: Bool { fcr & 1 != 0 }
    private var characterMask: UInt8 { 0xFF >> (3 - (lcr & 3)) }
    private var triggerLevel: Int { fifoOn ? [1, 4, 8, 14][Int(fcr >> 6)] : 1 }

    /// Interrupt identification, bits 0–3: the highest pending cause, 1 when none is.
    private var cause: UInt8 {
        if ier & Enable.lineStatus != 0, lineErrors != 0 { return Cause.lineStatus }
        if ier & Enable.dataAvailable != 0 {
            if fifo.count >= triggerLevel { return Cause.dataAvailable }
            if timeoutPending { return Cause.timeout }
        }
        if ier & Enable.transmitterEmpty != 0, transmitPending { return Cause.transmitterEmpty }
        if ier & Enable.modemStatus != 0, modemDeltas != 0 { return Cause.modemStatus }
        return Cause.none
    }

    /// CTS, DSR, RI, DCD in bits 4–7. The other side is always there and ready; in loopback it is our own RTS, DTR, OUT1, OUT2.
    private var modemLines: UInt8 {
        guard mcr & Modem.loop != 0 else { return 0xB0 }
        return (mcr & Modem.rts) << 3 | (mcr & Modem.dtr) << 5 | (mcr & Modem.out1) << 4 | (mcr & Modem.out2) << 4
    }

    private mutating func noteModemChange(from before: UInt8) {
        let after = modemLines
        let changed = (before ^ after) >> 4
        // CTS, DSR and DCD on any change, RI on its trailing edge.
        modemDeltas |= changed & 0b1011 | changed & before >> 4 & 0b0100
    }

    /// The PC gates the interrupt pin with OUT2.
    private func update(_ wires: inout Wires) { wires.set(irq: irq, cause != Cause.none && mcr & Modem.out2 != 0) }

    private enum Enable {
        static let dataAvailable: UInt8 = 1, transmitterEmpty: UInt8 = 2, lineStatus: UInt8 = 4, modemStatus: UInt8 = 8
    }
    private enum Cause {
        static let none: UInt8 = 0b0001, modemStatus: UInt8 = 0b0000, transmitterEmpty: UInt8 = 0b0010
        static let dataAvailable: UInt8 = 0b0100, lineStatus: UInt8 = 0b0110, timeout: UInt8 = 0b1100
    }
    private enum Line {
        static let dataReady: UInt8 = 1, overrun: UInt8 = 2, thre: UInt8 = 0x20, temt: UInt8 = 0x40
    }
    private enum Modem {
        static let dtr: UInt8 = 1, rts: UInt8 = 2, out1: UInt8 = 4, out2: UInt8 = 8, loop: UInt8 = 0x10
    }
}
