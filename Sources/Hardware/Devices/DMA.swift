import Primitives

/// Intel 8237A pair, the PC/AT DMA controllers, with the page registers and the POST code latch.
///
/// Source: Intel *8237A High Performance Programmable DMA Controller* data sheet (order 231466); IBM *PC/AT Technical Reference*
/// (1984), "DMA"; Intel *82371FB/82371SB* data sheet (order 290550), "DMA Controller".
///
///     port            register
///     0x00–0x07       channels 0–3 address and count, low byte then high byte (byte pointer flip-flop)
///     0x08            R status, W command          0x0C   W clear flip-flop
///     0x09            W request                    0x0D   R temporary, W master clear
///     0x0A            W single mask                0x0E   W clear mask
///     0x0B            W mode                       0x0F   R/W all masks
///     0xC0–0xDF       the same for channels 4–7, two ports each, addresses and counts in words
///     0x80–0x8F       page registers; 0x80 is the POST code latch
///
/// Channels 0–3 reach the bus through channel 4: they stand still while it is masked. The board moves the data: it calls
/// `begin` for a channel whose DREQ is up, lets the chip fill or drain a buffer, and reports with `finish`.
///
/// Not implemented: memory-to-memory transfers and channel 0 address hold (the PC/AT does not wire them); compressed timing,
/// rotating priority and sense polarity are stored without effect.
public struct DMA: Device {
    public static let name = "dma"

    /// A piece of a transfer that is contiguous in guest memory.
    public struct Transfer: Equatable, Sendable {
        /// Where the first byte (for 16-bit channels: the first word) goes.
        public var address: Physical
        /// Bytes to move at most; even on 16-bit channels.
        public var count: Int
        /// The chip fills memory (8237 "write"); false: memory feeds the chip.
        public var toMemory: Bool
        /// The chip is asked for bytes that go nowhere.
        public var verify: Bool
        /// Units follow each other downwards in memory.
        public var decrement: Bool
        /// Bytes of a unit: 1 or 2.
        public var unit: Int
        /// The last of `count` bytes is the channel's terminal count; false where the 64 K-unit page wraps first.
        public var terminal: Bool
    }

    public struct Channel: Codable, Equatable, Sendable {
        /// Bytes, or words on channels 4–7.
        public internal(set) var baseAddress: UInt16 = 0, address: UInt16 = 0
        /// Units still to move, less one.
        public internal(set) var baseCount: UInt16 = 0, count: UInt16 = 0
        /// Bits 7…6 demand, single, block, cascade; 5 decrement; 4 autoinitialise; 3…2 verify, write, read.
        public internal(set) var mode: UInt8 = 0
    }

    /// Channels 0–7; 4 is the cascade.
    public private(set) var channels = [Channel](repeating: Channel(), count: 8)
    /// One bit a channel, channel 0 in bit 0, for both chips.
    public private(set) var mask: UInt8 = 0xFF
    public private(set) var softwareRequests: UInt8 = 0
    public private(set) var terminalCounts: UInt8 = 0
    /// DREQ levels as the board last gave them; only the status register shows them.
    public private(set) var hardwareRequests: UInt8 = 0
    /// Command registers of the two chips.
    public private(set) var command: [UInt8] = [0, 0]
    /// Byte pointer flip-flops: true = the high byte is next.
    public private(set) var highByte = [false, false]
    /// Page registers, ports 0x80–0x8F: address bits 23…16.
    public private(set) var pages = [UInt8](repeating: 0, count: 16)

    public init() {}

    public var ports: [ClosedRange<Port>] { [0x00...0x0F, 0x80...0x8F, 0xC0...0xDF] }

    /// The last byte written to port 0x80.
    public var postCode: UInt8 { pages[0] }

    public mutating func reset() { self = DMA() }

    // MARK: Transfers

    /// The next piece for `channel` (0–7), or nil while the channel is masked, disabled, the cascade or set to an illegal mode.
    public func begin(channel: Int) -> Transfer? {
        guard (0..<8).contains(channel), channel != 4, mask & (1 << UInt8(channel)) == 0 else { return nil }
        guard command[channel / 4] & Bit.disable == 0 else { return nil }
        // DREQ of the low chip passes through channel 4 of the high one.
        guard channel > 4 || (mask & 0b1_0000 == 0 && command[1] & Bit.disable == 0) else { return nil }
        let state = channels[channel]
        let kind = state.mode >> 2 & 3
        guard state.mode >> 6 != 3, kind != 3 else { return nil }
        let decrement = state.mode & Bit.decrement != 0
        let units = Int(state.count) + 1
        let room = decrement ? Int(state.address) + 1 : 0x1_0000 - Int(state.address)
        let run = min(units, room)
        let unit = channel < 4 ? 1 : 2
        let page = UInt64(pages[Self.pageRegister[channel]])
        let address = unit == 1 ? page << 16 | UInt64(state.address) : (page & 0xFE) << 16 | UInt64(state.address) << 1
        return Transfer(
            address: address, count: run * unit, toMemory: kind != 2, verify: kind == 0, decrement: decrement, unit: unit,
            terminal: run == units)
    }

    /// `bytes` of the last `begin` were moved: counts on, and at terminal count sets TC and either reloads or masks the channel.
    public mutating func finish(channel: Int, moved bytes: Int) {
        guard (0..<8).contains(channel), channel != 4, bytes > 0 else { return }
        let units = min(bytes / (channel < 4 ? 1 : 2), 0x1_0000)
        guard units > 0 else { return }
        var state = channels[channel]
        let step = UInt16(truncatingIfNeeded: units)
        let reachedEnd = units > Int(state.count)
        state.address = state.mode & Bit.decrement != 0 ? state.address &- step : state.address &+ step
        state.count = state.count &- step
        if reachedEnd {
            let bit = UInt8(1) << UInt8(channel)
            terminalCounts |= bit
            softwareRequests &= ~bit
            if state.mode & Bit.autoinitialise != 0 {
                state.address = state.baseAddress
                state.count = state.baseCount
            } else {
                state.count = 0xFFFF
                mask |= bit
            }
        }
        channels[channel] = state
    }

    /// DREQ levels for the status register, channel 0 in bit 0.
    public mutating func setRequests(_ dreq: UInt8) { hardwareRequests = dreq }

    // MARK: Ports

    public mutating func read(_ port: Port, _ wires: inout Wires) -> UInt8 {
        let value = peek(port)
        guard let (chip, register) = Self.decode(port) else { return value }
        switch register {
        case 0...7: highByte[chip].toggle()
        case 8: terminalCounts &= chip == 0 ? 0xF0 : 0x0F  // reading the status clears TC
        default: break
        }
        return value
    }

    public mutating func write(_ port: Port, _ value: UInt8, _ wires: inout Wires) {
        if (0x80...0x8F).contains(port) {
            pages[Int(port - 0x80)] = value
            return
        }
        guard let (chip, register) = Self.decode(port) else { return }
        let chosen = chip * 4 + Int(value & 3)
        let bit = UInt8(1) << UInt8(chosen)
        let ours: UInt8 = chip == 0 ? 0x0F : 0xF0
        switch register {
        case 0...7:
            writeChannel(chip * 4 + register / 2, count: register & 1 != 0, value, high: highByte[chip])
            highByte[chip].toggle()
        case 8: command[chip] = value
        case 9: softwareRequests = value & 4 != 0 ? softwareRequests | bit : softwareRequests & ~bit
        case 0xA: mask = value & 4 != 0 ? mask | bit : mask & ~bit
        case 0xB: channels[chosen].mode = value & 0b1111_1100
        case 0xC: highByte[chip] = false
        case 0xD:
            command[chip] = 0
            highByte[chip] = false
            terminalCounts &= ~ours
            softwareRequests &= ~ours
            mask |= ours
        case 0xE: mask &= ~ours
        default: mask = mask & ~ours | (chip == 0 ? value & 0x0F : value << 4)
        }
    }

    private mutating func writeChannel(_ channel: Int, count: Bool, _ value: UInt8, high: Bool) {
        func patch(_ word: UInt16) -> UInt16 {
            high ? word & 0x00FF | UInt16(value) << 8 : word & 0xFF00 | UInt16(value)
        }
        // Base and current are written together (data sheet, "Base Address and Base Word Count Registers").
        if count {
            channels[channel].baseCount = patch(channels[channel].baseCount)
            channels[channel].count = patch(channels[channel].count)
        } else {
            channels[channel].baseAddress = patch(channels[channel].baseAddress)
            channels[channel].address = patch(channels[channel].address)
        }
    }

    public func peek(_ port: Port) -> UInt8 {
        if (0x80...0x8F).contains(port) { return pages[Int(port - 0x80)] }
        guard let (chip, register) = Self.decode(port) else { return 0xFF }
        switch register {
        case 0...7:
            let channel = channels[chip * 4 + register / 2]
            let word = register & 1 != 0 ? channel.count : channel.address
            return UInt8(truncatingIfNeeded: highByte[chip] ? word >> 8 : word)
        case 8:
            let requests = hardwareRequests | softwareRequests
            return chip == 0 ? terminalCounts & 0x0F | requests << 4 : terminalCounts >> 4 | requests & 0xF0
        case 0xD: return 0  // temporary register: memory-to-memory only
        case 0xF: return 0xF0 | (chip == 0 ? mask & 0x0F : mask >> 4)
        default: return 0xFF
        }
    }

    /// Chip (0 low, 1 high) and register 0–15 of a port.
    private static func decode(_ port: Port) -> (chip: Int, register: Int)? {
        switch port {
        case 0x00...0x0F: (0, Int(port))
        case 0xC0...0xDF: (1, Int(port - 0xC0) >> 1)
        default: nil
        }
    }

    /// Page register (offset from port 0x80) of each channel. IBM PC/AT wiring.
    private static let pageRegister = [0x7, 0x3, 0x1, 0x2, 0xF, 0xB, 0x9, 0xA]

    private enum Bit {
        /// Command register: controller disable.
        static let disable: UInt8 = 0b0000_0100
        /// Mode register.
        static let decrement: UInt8 = 0b0010_0000, autoinitialise: UInt8 = 0b0001_0000
    }
}
