import CPU
import Primitives

/// Intel 82371SB (PIIX3) bus-master engine of one IDE channel.
///
/// Source: Intel *82371FB/82371SB (PIIX/PIIX3)* data sheet (order number 290550), "Bus Master IDE Registers"; *Programming Interface for
/// Bus Master IDE Controller*, revision 1.0 (1994).
///
///     offset  R/W  register
///     0       R/W  BMICX: bit 0 start, bit 3 direction (1 = to memory)
///     2       R/W  BMISX: bit 0 active, 1 error, 2 interrupt (both write 1 to clear), 5 and 6 drive DMA capable
///     4–7     R/W  BMIDTPX: descriptor table, 4-byte aligned
///
/// A descriptor is an even address, an even length (0 = 64 KiB) and the end mark (bit 31). The engine reads one when the one before is used
/// up; it gives up at memory that is not there, and when the table ends before the drive does.
///
/// Not implemented: the wrap of a region at 64 KiB; regions go on linearly.
struct BusMaster: Codable, Equatable, Sendable {
    var command: UInt8 = 0
    var status: UInt8 = 0
    /// Guest-physical address of the descriptor table.
    var table: UInt32 = 0
    /// Next descriptor.
    var pointer: UInt32 = 0
    /// Next byte of the region at hand, and bytes left in it.
    var region: UInt32 = 0
    var left: UInt32 = 0
    /// The region at hand is the table's last.
    var last = false

    var active: Bool { status & Bit.active != 0 }

    func read(_ offset: Int) -> UInt8 {
        switch offset {
        case 0: command
        case 2: status
        case 4...7: UInt8(truncatingIfNeeded: table >> UInt32(8 * (offset - 4)))
        default: 0
        }
    }

    mutating func write(_ offset: Int, _ value: UInt8) {
        switch offset {
        case 0:
            let wasStarted = command & Bit.start != 0
            command = value & (Bit.start | Bit.toMemory)
            let started = command & Bit.start != 0
            if started && !wasStarted {
                status |= Bit.active
                pointer = table
                left = 0
                last = false
            } else if !started {
                status &= ~Bit.active
            }
        case 2:
            let cleared = status & ~(value & (Bit.error | Bit.interrupt))
            status = (cleared & 0b0000_0111) | (value & 0b0110_0000)
        case 4...7:
            let shift = UInt32(8 * (offset - 4))
            table = (table & ~(0xFF << shift) | UInt32(value) << shift) & ~3
        default: break
        }
    }

    /// Moves all of `buffer` between the drive and the regions of the table.
    /// - Returns: false when the engine is not running in that direction, or the table or memory ended first; the engine then is inactive.
    mutating func move(_ buffer: UnsafeMutableRawBufferPointer, toMemory: Bool, _ memory: GuestMemory) -> Bool {
        guard active, (command & Bit.toMemory != 0) == toMemory else { return false }
        var done = 0
        while done < buffer.count {
            if left == 0 { guard fetch(memory) else { return false } }
            // Page by page: each may lie where no memory answers, and the address wraps at 4 GiB.
            let chunk = min(buffer.count - done, Int(left), 4096 - Int(region & 0xFFF))
            let page = memory.page(Physical(region))
            guard toMemory ? page.write != -1 : page.read >= 0 else {
                abort()
                return false
            }
            let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + chunk])
            if toMemory {
                memory.write(Physical(region), from: UnsafeRawBufferPointer(piece))
            } else {
                memory.read(Physical(region), into: piece)
            }
            region = region &+ UInt32(chunk)
            left -= UInt32(chunk)
            done += chunk
        }
        return true
    }

    /// The drive has moved its last byte: a table that ended with it makes the engine inactive; a longer one leaves it active.
    mutating func driveFinished() {
        if left == 0 && last { status &= ~Bit.active }
    }

    private mutating func fetch(_ memory: GuestMemory) -> Bool {
        guard !last else {
            status &= ~Bit.active
            return false
        }
        // Aligned to 4, so a descriptor can straddle a page; each half lies in one.
        let second = (pointer & 0xFFFF_0000) | (pointer &+ 4) & 0xFFFF
        guard memory.page(Physical(pointer)).read >= 0, memory.page(Physical(second)).read >= 0 else {
            abort()
            return false
        }
        region = memory.load(Physical(pointer), as: UInt32.self) & ~1
        let word = memory.load(Physical(second), as: UInt32.self)
        left = word & 0xFFFE == 0 ? 0x1_0000 : word & 0xFFFE
        last = word >> 31 != 0
        // The table does not cross 64 KiB: the counter has 16 bits.
        pointer = (pointer & 0xFFFF_0000) | (pointer &+ 8) & 0xFFFF
        return true
    }

    /// Master abort: nobody answered the cycle.
    private mutating func abort() {
        status = (status & ~Bit.active) | Bit.error
        left = 0
        last = true
    }

    enum Bit {
        static let start: UInt8 = 0x01, toMemory: UInt8 = 0x08
        static let active: UInt8 = 0x01, error: UInt8 = 0x02, interrupt: UInt8 = 0x04
    }
}
