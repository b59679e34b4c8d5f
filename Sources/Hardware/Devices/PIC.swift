import Primitives

/// Intel 8259A pair, the PC/AT interrupt controllers, with the edge/level control registers of the PIIX3.
///
/// Source: Intel *8259A Programmable Interrupt Controller* data sheet (order 231468); Intel *82371FB/82371SB (PIIX/PIIX3)*
/// data sheet (order 290550), "Interrupt Controller" and "ELCR1/ELCR2".
///
///     port   A0  write                         read
///     0x20    0  ICW1, OCW2, OCW3 (master)     IRR, ISR or poll
///     0x21    1  ICW2–4, OCW1                  IMR
///     0xA0/A1    the same for the slave, whose INT drives the master's IR2
///     0x4D0      ELCR1, IRQ0–7: 1 = level      the same
///     0x4D1      ELCR2, IRQ8–15                the same
///
/// The cascade is wired to IR2 as on the board; ICW3 is stored and not consulted. LTIM of ICW1 is ignored as on the PIIX3.
///
/// Not implemented: MCS-80/85 mode (ICW4 bit 0 clear delivers the vector as if it were set); buffered mode has no effect.
public struct PIC: Device {
    public static let name = "pic"

    public private(set) var master = Chip(cascade: 0b0000_0100)
    public private(set) var slave = Chip(cascade: 0)
    /// Levels of IRQ0–IRQ15 as last given; IRQ2 does not exist on the bus.
    public private(set) var lines: UInt16 = 0
    /// The master's INT pin, wired to the vCPU's INTR (and LINT0).
    public private(set) var intr = false

    public init() {}

    public var ports: [ClosedRange<Port>] { [0x20...0x21, 0xA0...0xA1, 0x4D0...0x4D1] }
    public var elcr: UInt16 { UInt16(master.level) | UInt16(slave.level) << 8 }

    /// The lines keep their levels: they belong to the devices that drive them.
    public mutating func reset() {
        master = Chip(cascade: 0b0000_0100)
        slave = Chip(cascade: 0)
        update()
    }

    // MARK: Wires

    /// Levels of IRQ0–IRQ15 now. Rising edges are detected against the previous call.
    public mutating func setLines(_ lines: UInt16) {
        guard lines != self.lines else { return }
        self.lines = lines
        update()
    }

    /// The vCPU's INTA cycle: the vector of the interrupt taken. When the request went away meanwhile it is IR7's of the chip that
    /// was asked, and no in-service bit is set there (data sheet, "Edge and Level Triggered Modes").
    public mutating func acknowledge() -> UInt8 {
        guard let request = master.request else { return master.base | 7 }
        master.serve(request)
        var vector = master.base | UInt8(request)
        if request == 2 {
            if let second = slave.request {
                slave.serve(second)
                vector = slave.base | UInt8(second)
            } else {
                vector = slave.base | 7
            }
        }
        update()
        return vector
    }

    private mutating func update() {
        slave.setInputs(UInt8(truncatingIfNeeded: lines >> 8))
        master.setInputs(UInt8(truncatingIfNeeded: lines) & 0b1111_1011 | (slave.request != nil ? 0b0000_0100 : 0))
        intr = master.request != nil
    }

    // MARK: Ports

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 {
        let value: UInt8
        switch port {
        case 0x20, 0x21: value = master.read(data: port & 1 != 0)
        case 0xA0, 0xA1: value = slave.read(data: port & 1 != 0)
        default: return peek(port)
        }
        update()  // a poll read takes the request
        return value
    }

    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        switch port {
        case 0x20: master.writeCommand(value)
        case 0x21: master.writeData(value)
        case 0xA0: slave.writeCommand(value)
        case 0xA1: slave.writeData(value)
        case 0x4D0: master.level = value & 0b1111_1000  // IRQ0–2 are always edge
        case 0x4D1: slave.level = value & 0b1101_1110  // IRQ8 and IRQ13 are always edge
        default: return
        }
        update()
    }

    public func peek(_ port: Port) -> UInt8 {
        switch port {
        case 0x20: master.readISR ? master.isr : master.irr
        case 0x21: master.imr
        case 0xA0: slave.readISR ? slave.isr : slave.irr
        case 0xA1: slave.imr
        case 0x4D0: master.level
        case 0x4D1: slave.level
        default: 0xFF
        }
    }

    // MARK: One chip

    /// One 8259A. Bit n of every mask is IRn.
    public struct Chip: Codable, Equatable, Sendable {
        /// Input pins.
        public internal(set) var inputs: UInt8 = 0
        /// Edge-sense latches: set by a rising edge, cleared by INTA, by the input going low and by ICW1.
        public internal(set) var edges: UInt8 = 0
        /// Inputs that are level-triggered (ELCR).
        public internal(set) var level: UInt8 = 0
        /// Inputs wired to a slave's INT: always sensed by level, and subject to the special fully nested mode.
        let cascade: UInt8
        public internal(set) var imr: UInt8 = 0xFF
        public internal(set) var isr: UInt8 = 0
        /// ICW2 bits 7…3.
        public internal(set) var base: UInt8 = 0
        public internal(set) var icw3: UInt8 = 0
        /// The input of lowest priority, 7 unless rotated.
        public internal(set) var lowest = 7
        /// Next initialisation word expected on A0 = 1: 2, 3 or 4; 0 in operation, 1 before the first ICW1.
        public internal(set) var expectedICW: UInt8 = 1
        /// ICW1 bit 1, bit 0.
        public internal(set) var single = false, needsICW4 = false
        /// ICW4 bit 1, bit 4.
        public internal(set) var autoEOI = false, specialFullyNested = false
        public internal(set) var rotateOnAutoEOI = false
        public internal(set) var specialMask = false
        public internal(set) var readISR = false
        public internal(set) var poll = false

        init(cascade: UInt8) { self.cascade = cascade }

        public var irr: UInt8 { inputs & (edges | level | cascade) }

        /// The input that INT stands for now; nil when INT is low.
        var request: Int? {
            let requests = irr & ~imr
            guard requests != 0, expectedICW == 0 else { return nil }
            // In special mask mode a masked in-service level blocks nobody ("Special Mask Mode").
            let inService = specialMask ? isr & ~imr : isr
            for step in 1...8 {
                let input = (lowest &+ step) & 7
                let bit = UInt8(1) << UInt8(input)
                if inService & bit != 0 {
                    // A slave in service may bring a request of higher priority ("Special Fully Nested Mode").
                    return specialFullyNested && requests & bit & cascade != 0 ? input : nil
                }
                if requests & bit != 0 { return input }
            }
            return nil
        }

        mutating func setInputs(_ new: UInt8) {
            edges = (edges | new & ~inputs) & new
            inputs = new
        }

        /// INTA or a poll read takes `input` into service.
        mutating func serve(_ input: Int) {
            let bit = UInt8(1) << UInt8(input & 7)
            edges &= ~bit
            if !autoEOI {
                isr |= bit
            } else if rotateOnAutoEOI {
                lowest = input & 7
            }
        }

        mutating func read(data: Bool) -> UInt8 {
            if poll {
                poll = false
                guard let input = request else { return 0 }
                serve(input)
                return 0x80 | UInt8(input)
            }
            if data { return imr }
            return readISR ? isr : irr
        }

        mutating func writeCommand(_ value: UInt8) {
            if value & 0b0001_0000 != 0 {
                writeICW1(value)
            } else if value & 0b0000_1000 != 0 {
                writeOCW3(value)
            } else {
                writeOCW2(value)
            }
        }

        private mutating func writeICW1(_ value: UInt8) {
            edges = 0
            imr = 0
            isr = 0
            lowest = 7
            specialMask = false
            readISR = false
            poll = false
            autoEOI = false
            rotateOnAutoEOI = false
            specialFullyNested = false
            single = value & 0b10 != 0
            needsICW4 = value & 0b01 != 0
            expectedICW = 2
        }

        private mutating func writeOCW2(_ value: UInt8) {
            let input = Int(value & 7)
            switch value >> 5 {
            case 0b001: _ = endHighest()
            case 0b011: isr &= ~(1 << UInt8(input))
            case 0b101: if let ended = endHighest() { lowest = ended }
            case 0b100: rotateOnAutoEOI = true
            case 0b000: rotateOnAutoEOI = false
            case 0b111:
                isr &= ~(1 << UInt8(input))
                lowest = input
            case 0b110: lowest = input
            default: break  // 0b010: no operation
            }
        }

        /// Non-specific EOI: ends the level of highest priority, skipping masked ones in special mask mode.
        private mutating func endHighest() -> Int? {
            let candidates = specialMask ? isr & ~imr : isr
            for step in 1...8 {
                let input = (lowest &+ step) & 7
                guard candidates & (1 << UInt8(input)) != 0 else { continue }
                isr &= ~(1 << UInt8(input))
                return input
            }
            return nil
        }

        private mutating func writeOCW3(_ value: UInt8) {
            if value & 0b0100_0000 != 0 { specialMask = value & 0b0010_0000 != 0 }
            if value & 0b0000_0010 != 0 { readISR = value & 0b0000_0001 != 0 }
            poll = value & 0b0000_0100 != 0
        }

        mutating func writeData(_ value: UInt8) {
            switch expectedICW {
            case 2:
                base = value & 0b1111_1000
                expectedICW = single ? (needsICW4 ? 4 : 0) : 3
            case 3:
                icw3 = value
                expectedICW = needsICW4 ? 4 : 0
            case 4:
                autoEOI = value & 0b0000_0010 != 0
                specialFullyNested = value & 0b0001_0000 != 0
                expectedICW = 0
            default: imr = value
            }
        }
    }
}
