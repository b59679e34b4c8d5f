import CPU
import Primitives

/// IBM VGA, memory path: the window at 0xA0000–0xBFFFF through sequencer and graphics controller to the four planes.
///
/// Source: IBM *PS/2 Hardware Interface Technical Reference*, "Video Subsystem": memory maps, graphics controller, sequencer.
///
/// In odd/even mode address bit 0 selects the plane and is replaced by bit 16 (128 KiB map) or 0, so character `n` of a text screen
/// is at plane offset `2n`, where the CRT controller's word mode looks for it. In chain-4 mode bits 0 and 1 select the plane and the
/// others move down by two, as in all later chips; the IBM part leaves them in place.
///
/// Not implemented: page select of odd/even mode (miscellaneous output bit 5).
extension VGA {
    /// Each of four bits made a byte of ones: planes as a mask.
    static let spread: [UInt32] = [
        0x0000_0000, 0x0000_00FF, 0x0000_FF00, 0x0000_FFFF, 0x00FF_0000, 0x00FF_00FF, 0x00FF_FF00, 0x00FF_FFFF,
        0xFF00_0000, 0xFF00_00FF, 0xFF00_FF00, 0xFF00_FFFF, 0xFFFF_0000, 0xFFFF_00FF, 0xFFFF_FF00, 0xFFFF_FFFF,
    ]

    public mutating func readMemory(_ address: Physical, size: Int, _ wires: inout Wires) -> UInt64 {
        if address &- 0xA0000 < 0x20000 {
            if wires.tap != nil { noteText(address, size: size, writes: false, wires) }
            return readWindow(Int(address), size, wires.memory)
        }
        guard let base = registersBase, address >= base, address - base < 4096 else { return .max >> UInt64(64 - 8 * size) }
        return readRegisters(Int(address - base), size: size, &wires)
    }

    public mutating func writeMemory(_ address: Physical, size: Int, _ value: UInt64, _ wires: inout Wires) {
        if address &- 0xA0000 < 0x20000 {
            if wires.tap != nil { noteText(address, size: size, writes: true, wires) }
            writeWindow(Int(address), size, value, wires.memory)
        } else if let base = registersBase, address >= base, address - base < 4096 {
            writeRegisters(Int(address - base), size: size, value, &wires)
        }
    }

    /// The part of the window that is decoded: graphics controller 6 bits 2 and 3, or DISPI's bank.
    @inline(__always)
    private var decodedWindow: (base: Int, bytes: Int) {
        switch dispiEnabled ? 1 : graphics[6] >> 2 & 3 {
        case 0: (0xA0000, 0x20000)
        case 1: (0xA0000, 0x10000)
        case 2: (0xB0000, 0x8000)
        default: (0xB8000, 0x8000)
        }
    }

    @inline(__always)
    private func load32(_ memory: GuestMemory, _ index: Int) -> UInt32 {
        index >= 0 && index <= vramBytes - 4 ? memory.loadArena32(vramOffset &+ index) : .max
    }

    @inline(__always)
    private func store32(_ memory: GuestMemory, _ index: Int, _ value: UInt32, mask: UInt32) {
        if index >= 0 && index <= vramBytes - 4 { memory.storeArena32(vramOffset &+ index, value, mask: mask) }
    }

    /// Plane offset of a window offset, without chain-4.
    @inline(__always)
    private func planeOffset(_ at: Int, chained: Bool) -> Int {
        let within = chained ? (at & ~1) | (at >> 16 & 1) : at
        return dispiEnabled ? within &+ bankBase : within & 0xFFFF
    }

    // MARK: Reads

    private mutating func readWindow(_ address: Int, _ size: Int, _ memory: GuestMemory) -> UInt64 {
        let window = decodedWindow
        let at = address - window.base
        guard misc & 2 != 0, subsystemEnabled, at >= 0, at + size <= window.bytes else {
            if size > 1 && misc & 2 != 0 && subsystemEnabled { return readBytewise(address, size, memory) }
            return .max >> UInt64(64 - 8 * size)
        }
        if dispiLinear {
            let index = bankBase + at
            return index <= vramBytes - size ? memory.loadArena(vramOffset &+ index, size: size) : .max >> UInt64(64 - 8 * size)
        }
        if sequencer[4] & 8 != 0 && !dispiEnabled {
            latch = load32(memory, (at + size - 1) & ~3)
            guard graphics[5] & 8 != 0 else {
                return at <= vramBytes - size ? memory.loadArena(vramOffset &+ at, size: size) : .max >> UInt64(64 - 8 * size)
            }
            var value: UInt64 = 0
            for i in 0..<size {
                latch = load32(memory, (at + i) & ~3)
                value |= UInt64(colourCompare()) << UInt64(8 * i)
            }
            return value
        }
        let chained = graphics[6] & 2 != 0 && !dispiEnabled
        let oddEven = graphics[5] & 0x10 != 0 && !dispiEnabled
        var value: UInt64 = 0
        if chained && oddEven && graphics[5] & 8 == 0 && graphics[4] & 2 == 0 && size > 1 && at & 1 == 0 {
            // Text cells: character and attribute are the low half of the word.
            for i in stride(from: 0, to: size, by: 2) {
                latch = load32(memory, planeOffset(at + i, chained: true) * 4)
                value |= UInt64(latch & 0xFFFF) << UInt64(8 * i)
            }
            return value
        }
        for i in 0..<size {
            latch = load32(memory, planeOffset(at + i, chained: chained) * 4)
            let byte: UInt8
            if graphics[5] & 8 != 0 {
                byte = colourCompare()
            } else {
                let plane = oddEven ? UInt32(graphics[4] & 2) | UInt32((at + i) & 1) : UInt32(graphics[4] & 3)
                byte = UInt8(truncatingIfNeeded: latch >> (8 * plane))
            }
            value |= UInt64(byte) << UInt64(8 * i)
        }
        return value
    }

    /// What reading would give, without loading the latches; nil: nothing is decoded there.
    func peekWindow(_ address: Physical, count: Int, _ memory: GuestMemory) -> [UInt8]? {
        let window = decodedWindow
        guard misc & 2 != 0, subsystemEnabled, address >= window.base, count <= window.bytes, Int(address) - window.base <= window.bytes - count
        else { return nil }
        var copy = self
        return (0..<count).map { UInt8(truncatingIfNeeded: copy.readWindow(Int(address) + $0, 1, memory)) }
    }

    private mutating func readBytewise(_ address: Int, _ size: Int, _ memory: GuestMemory) -> UInt64 {
        var value: UInt64 = 0
        for i in 0..<size { value |= (readWindow(address + i, 1, memory) & 0xFF) << UInt64(8 * i) }
        return value
    }

    /// Read mode 1: a bit for each pixel whose cared-for planes equal the compare register.
    private func colourCompare() -> UInt8 {
        var differ = (latch ^ VGA.spread[Int(graphics[2] & 15)]) & VGA.spread[Int(graphics[7] & 15)]
        differ |= differ >> 16
        differ |= differ >> 8
        return ~UInt8(truncatingIfNeeded: differ)
    }

    // MARK: Writes

    private mutating func writeWindow(_ address: Int, _ size: Int, _ value: UInt64, _ memory: GuestMemory) {
        let window = decodedWindow
        let at = address - window.base
        guard misc & 2 != 0, subsystemEnabled, at >= 0, at + size <= window.bytes else {
            if size > 1 && misc & 2 != 0 && subsystemEnabled {
                for i in 0..<size { writeWindow(address + i, 1, value >> UInt64(8 * i) & 0xFF, memory) }
            }
            return
        }
        if dispiLinear {
            let index = bankBase + at
            if index <= vramBytes - size { memory.storeArena(vramOffset &+ index, size: size, value) }
            return
        }
        let planes = sequencer[2] & 15
        // The data path is straight: write mode 0, no rotation, no logic, no set/reset, all bits.
        let straight = graphics[5] & 3 == 0 && graphics[3] == 0 && graphics[1] == 0 && graphics[8] == 0xFF
        if sequencer[4] & 8 != 0 && !dispiEnabled {
            if straight && planes == 15 {
                if at <= vramBytes - size { memory.storeArena(vramOffset &+ at, size: size, value) }
                return
            }
            for i in 0..<size {
                let plane = UInt8(1) << UInt8((at + i) & 3) & planes
                writePlanes((at + i) & ~3, UInt8(truncatingIfNeeded: value >> UInt64(8 * i)), plane, memory)
            }
            return
        }
        let chained = graphics[6] & 2 != 0 && !dispiEnabled
        let oddEven = sequencer[4] & 4 == 0 && !dispiEnabled
        if straight && chained && oddEven && planes == 3 && size > 1 && at & 1 == 0 {
            for i in stride(from: 0, to: size, by: 2) {
                let cell = UInt32(truncatingIfNeeded: value >> UInt64(8 * i)) & 0xFFFF
                store32(memory, planeOffset(at + i, chained: true) * 4, cell, mask: 0xFFFF)
            }
            return
        }
        if planes & 4 != 0 { fontGeneration &+= 1 }
        for i in 0..<size {
            let enabled = oddEven ? planes & (0b0101 << UInt8((at + i) & 1)) : planes
            guard enabled != 0 else { continue }
            let index = planeOffset(at + i, chained: chained) * 4
            let byte = UInt8(truncatingIfNeeded: value >> UInt64(8 * i))
            if straight {
                store32(memory, index, UInt32(byte) &* 0x0101_0101, mask: VGA.spread[Int(enabled)])
            } else {
                writePlanes(index, byte, enabled, memory)
            }
        }
    }

    /// One byte through the graphics controller's data path into the enabled planes of the word at `index`.
    private func writePlanes(_ index: Int, _ value: UInt8, _ planes: UInt8, _ memory: GuestMemory) {
        guard planes != 0 else { return }
        let rotation = graphics[3] & 7
        let rotated = rotation == 0 ? value : value >> rotation | value << (8 - rotation)
        var bits = UInt32(graphics[8]) &* 0x0101_0101
        var data: UInt32
        switch graphics[5] & 3 {
        case 0:
            let fixed = VGA.spread[Int(graphics[1] & 15)]
            data = (UInt32(rotated) &* 0x0101_0101 & ~fixed) | (VGA.spread[Int(graphics[0] & 15)] & fixed)
        case 1:
            store32(memory, index, latch, mask: VGA.spread[Int(planes & 15)])
            return
        case 2:
            data = VGA.spread[Int(value & 15)]
        default:
            data = VGA.spread[Int(graphics[0] & 15)]
            bits &= UInt32(rotated) &* 0x0101_0101
        }
        switch graphics[3] >> 3 & 3 {
        case 0: break
        case 1: data &= latch
        case 2: data |= latch
        default: data ^= latch
        }
        data = (data & bits) | (latch & ~bits)
        store32(memory, index, data, mask: VGA.spread[Int(planes & 15)])
    }
}
