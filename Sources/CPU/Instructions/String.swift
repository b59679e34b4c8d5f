import Glibc
import Primitives

/// String instructions. SDM Vol. 2A/2B, "MOVS", "CMPS", "STOS", "LODS", "SCAS", "INS", "OUTS", "REP".
///
/// Each iteration retires one instruction. A REP stops early, with its registers exact, when the budget ends, when a device
/// asked for the engine's attention, or at a fault; the instruction then starts again where it was.
extension Core {
    @inline(__always)
    private func stringIndex(_ register: UInt8, _ mask: UInt64) -> UInt64 { reg(register, UInt64.self) & mask }

    /// Replaces the part of an index or count register that the address size covers.
    @inline(__always)
    private func setStringIndex(_ register: UInt8, _ mask: UInt64, _ value: UInt64) {
        if mask == 0xFFFF { setReg(register, UInt16(truncatingIfNeeded: value)) } else { setReg(register, value & mask) }
    }
}

func stringInstruction(_ c: Core, _ o: OpPointer, _ mnemonic: Mnemonic) throws(Fault) {
    switch o.pointee.flags & 3 {
    case 0: try string(c, o, mnemonic, UInt8.self)
    case 1: try string(c, o, mnemonic, UInt16.self)
    case 2: try string(c, o, mnemonic, UInt32.self)
    default: try string(c, o, mnemonic, UInt64.self)
    }
}

private let si: UInt8 = 48, di: UInt8 = 56, cx: UInt8 = 8

@inline(__always)
private func string<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ o: OpPointer, _ mnemonic: Mnemonic, _: T.Type) throws(Fault) {
    let mask = o.pointee.addressMask
    guard o.pointee.flags & 0x30 != 0 else { return try stringStep(c, o, mnemonic, mask, T.self) }
    var left = c.reg(cx, UInt64.self) & mask
    if left == 0 { return }
    // This instruction's own count is 1; more iterations come out of the rest of the budget.
    let allowed = c.t.pointee.careful ? 1 : max(1, c.t.pointee.budget &- c.t.pointee.blockProgress)
    let limit = UInt64(allowed)
    var done: UInt64 = 0
    let compares = mnemonic == .cmps || mnemonic == .scas
    var finished = false
    while true {
        if limit &- done > 8, left > 8 {
            let wanted = min(left, limit &- done)
            let (moved, stops) = compares ? c.bulkCompare(o, mnemonic, mask, wanted, T.self) : (c.bulk(o, mnemonic, mask, wanted, T.self), false)
            if moved > 0 {
                left &-= moved
                done &+= moved
                c.countIterations(mask, left, moved)
                if left == 0 || stops { finished = true; break }
                if done >= limit { break }
                continue
            }
        }
        do throws(Fault) { try stringStep(c, o, mnemonic, mask, T.self) } catch {
            c.t.pointee.budget &-= Int64(done)
            throw error
        }
        left &-= 1
        done &+= 1
        c.countIterations(mask, left, 1)
        if left == 0 { finished = true; break }
        if compares && c.zf != o.pointee.hasREP { finished = true; break }
        if done >= limit || c.t.pointee.exitRequested || c.t.pointee.pendingDebug != 0 || c.t.pointee.nmi { break }
        if c.t.pointee.intr && c.v.pointee.systemFlags & EFlags.if != 0 { break }
    }
    // The block's exit counts the instruction once.
    c.t.pointee.budget &-= Int64(done) &- 1
    c.t.pointee.blockProgress &-= Int64(done)
    if !finished { c.rip = c.t.pointee.instructionRIP }
}

extension Core {
    /// Writes the count register back and keeps guest time exact for the next iteration's bus access.
    @inline(__always)
    fileprivate func countIterations(_ mask: UInt64, _ left: UInt64, _ iterations: UInt64) {
        if mask == 0xFFFF { setReg(cx, UInt16(truncatingIfNeeded: left)) } else { setReg(cx, left & mask) }
        t.pointee.blockProgress &+= Int64(iterations)
    }

    /// Linear address of a string operand.
    @inline(__always)
    fileprivate func stringAddress(_ segment: Int, _ offset: UInt64, _ bytes: Int, write: Bool) throws(Fault) -> UInt64 {
        try linear(segment, offset, bytes, write: write)
    }

    @inline(__always)
    fileprivate func advance(_ register: UInt8, _ mask: UInt64, _ bytes: Int) {
        let step = UInt64(bitPattern: Int64(v.pointee.systemFlags & EFlags.df != 0 ? -bytes : bytes))
        let value = (reg(register, UInt64.self) &+ step) & mask
        if mask == 0xFFFF { setReg(register, UInt16(truncatingIfNeeded: value)) } else { setReg(register, value) }
    }

    /// Many iterations of MOVS or STOS between plain memory at once: within one page on each side, no decoded code, no watch; STOS only
    /// forward. Returns how many iterations were done (0: do one the long way).
    @inline(__always)
    fileprivate func bulk<T: FixedWidthInteger & UnsignedInteger>(_ o: OpPointer, _ mnemonic: Mnemonic, _ mask: UInt64, _ wanted: UInt64, _: T.Type) -> UInt64 {
        guard mnemonic == .movs || mnemonic == .stos, !t.pointee.watching, !t.pointee.alignmentChecked else { return 0 }
        let size = UInt64(T.bitWidth / 8)
        if v.pointee.systemFlags & EFlags.df != 0 { return mnemonic == .movs ? bulkBackward(o, mask, wanted, T.self) : 0 }
        let destinationOffset = reg(di, UInt64.self) & mask
        guard let destination = plain(Seg.es, destinationOffset, mask, size, write: true) else { return 0 }
        var count = min(wanted, (4096 - (destination.linear & 0xFFF)) / size, (mask - destinationOffset) / size &+ 1)
        count = min(count, destination.limit / size)
        if mnemonic == .stos {
            if count == 0 { return 0 }
            let value = reg(0, T.self)
            let p = UnsafeMutableRawPointer(bitPattern: destination.host).unsafelyUnwrapped
            if T.bitWidth == 8 {
                memset(p, Int32(UInt8(truncatingIfNeeded: value)), Int(count))
            } else {
                for i in 0..<Int(count) { p.storeBytes(of: value, toByteOffset: i &* Int(size), as: T.self) }
            }
        } else {
            let sourceOffset = reg(si, UInt64.self) & mask
            guard let source = plain(Int(o.pointee.seg), sourceOffset, mask, size, write: false) else { return 0 }
            count = min(count, (4096 - (source.linear & 0xFFF)) / size, (mask - sourceOffset) / size &+ 1, source.limit / size)
            if count == 0 { return 0 }
            let to = UnsafeMutableRawPointer(bitPattern: destination.host).unsafelyUnwrapped
            let from = UnsafeRawPointer(bitPattern: source.host).unsafelyUnwrapped
            let bytes = Int(count &* size)
            // An overlapping forward copy repeats the pattern between the pointers; memmove would not.
            if to > from && to < from + bytes {
                for i in 0..<Int(count) {
                    let at = i &* Int(size)
                    to.storeBytes(of: from.loadUnaligned(fromByteOffset: at, as: T.self), toByteOffset: at, as: T.self)
                }
            } else {
                memmove(to, from, bytes)
            }
            let next = (sourceOffset &+ count &* size) & mask
            if mask == 0xFFFF { setReg(si, UInt16(truncatingIfNeeded: next)) } else { setReg(si, next) }
        }
        let next = (destinationOffset &+ count &* size) & mask
        if mask == 0xFFFF { setReg(di, UInt16(truncatingIfNeeded: next)) } else { setReg(di, next) }
        return count
    }

    /// MOVS with DF set: both pointers stand at the highest element.
    private func bulkBackward<T: FixedWidthInteger & UnsignedInteger>(_ o: OpPointer, _ mask: UInt64, _ wanted: UInt64, _: T.Type) -> UInt64 {
        let size = UInt64(T.bitWidth / 8)
        let (sourceOffset, destinationOffset) = (reg(si, UInt64.self) & mask, reg(di, UInt64.self) & mask)
        guard let destination = plain(Seg.es, destinationOffset, mask, size, write: true),
            let source = plain(Int(o.pointee.seg), sourceOffset, mask, size, write: false),
            destination.linear & 0xFFF <= 4096 &- size, source.linear & 0xFFF <= 4096 &- size
        else { return 0 }
        let within = min(destination.linear & 0xFFF, source.linear & 0xFFF, destinationOffset, sourceOffset) / size
        let count = min(wanted, within &+ 1)
        let bytes = Int(count &* size)
        let (below, last) = (bytes &- Int(size), Int(size))
        let to = UnsafeMutableRawPointer(bitPattern: destination.host).unsafelyUnwrapped - below
        let from = UnsafeRawPointer(bitPattern: source.host).unsafelyUnwrapped - below
        if to < from && from < to + bytes {
            var at = below
            while at >= 0 {
                to.storeBytes(of: from.loadUnaligned(fromByteOffset: at, as: T.self), toByteOffset: at, as: T.self)
                at &-= last
            }
        } else {
            memmove(to, from, bytes)
        }
        for (register, offset) in [(si, sourceOffset), (di, destinationOffset)] {
            let next = (offset &- count &* size) & mask
            if mask == 0xFFFF { setReg(register, UInt16(truncatingIfNeeded: next)) } else { setReg(register, next) }
        }
        return count
    }

    /// Many iterations of CMPS or SCAS of plain memory, forward, within one page on each side: how many, and whether the last one ends the instruction.
    fileprivate func bulkCompare<T: FixedWidthInteger & UnsignedInteger>(
        _ o: OpPointer, _ mnemonic: Mnemonic, _ mask: UInt64, _ wanted: UInt64, _: T.Type
    ) -> (UInt64, Bool) {
        guard v.pointee.systemFlags & EFlags.df == 0, !t.pointee.watching, !t.pointee.alignmentChecked else { return (0, false) }
        let size = UInt64(T.bitWidth / 8)
        let destinationOffset = reg(di, UInt64.self) & mask
        guard let destination = plain(Seg.es, destinationOffset, mask, size, write: false) else { return (0, false) }
        var count = min(wanted, (4096 - (destination.linear & 0xFFF)) / size, (mask - destinationOffset) / size &+ 1, destination.limit / size)
        let right = UnsafeRawPointer(bitPattern: destination.host).unsafelyUnwrapped
        let goesOn = o.pointee.hasREP
        var done = 0
        var last: (T, T) = (0, 0)
        if mnemonic == .cmps {
            let sourceOffset = reg(si, UInt64.self) & mask
            guard let source = plain(Int(o.pointee.seg), sourceOffset, mask, size, write: false) else { return (0, false) }
            count = min(count, (4096 - (source.linear & 0xFFF)) / size, (mask - sourceOffset) / size &+ 1, source.limit / size)
            if count == 0 { return (0, false) }
            let left = UnsafeRawPointer(bitPattern: source.host).unsafelyUnwrapped
            let step = Int(size)
            if goesOn {
                // Equal words are passed eight bytes at a time.
                let per = 8 / step
                while done &+ per < Int(count),
                    left.loadUnaligned(fromByteOffset: done &* step, as: UInt64.self) == right.loadUnaligned(fromByteOffset: done &* step, as: UInt64.self)
                { done &+= per }
            }
            repeat {
                last = (left.loadUnaligned(fromByteOffset: done &* step, as: T.self), right.loadUnaligned(fromByteOffset: done &* step, as: T.self))
                done &+= 1
            } while done < Int(count) && (last.0 == last.1) == goesOn
            let next = (sourceOffset &+ UInt64(done) &* size) & mask
            if mask == 0xFFFF { setReg(si, UInt16(truncatingIfNeeded: next)) } else { setReg(si, next) }
        } else {
            if count == 0 { return (0, false) }
            last.0 = reg(0, T.self)
            if T.bitWidth == 8 && !goesOn {
                let found = memchr(right, Int32(UInt8(truncatingIfNeeded: last.0)), Int(count))
                done = found.map { UnsafeRawPointer($0) - right } ?? Int(count) &- 1
            }
            repeat {
                last.1 = right.loadUnaligned(fromByteOffset: done &* Int(size), as: T.self)
                done &+= 1
            } while done < Int(count) && (last.0 == last.1) == goesOn
        }
        _ = sub(last.0, last.1)
        let next = (destinationOffset &+ UInt64(done) &* size) & mask
        if mask == 0xFFFF { setReg(di, UInt16(truncatingIfNeeded: next)) } else { setReg(di, next) }
        return (UInt64(done), (last.0 == last.1) != goesOn)
    }

    /// Host address behind an operand when the TLB holds its page for this access and the segment allows at least one element;
    /// `limit` is how many bytes the segment allows from there.
    @inline(__always)
    private func plain(_ segment: Int, _ offset: UInt64, _ mask: UInt64, _ size: UInt64, write: Bool) -> (host: UInt, linear: UInt64, limit: UInt64)? {
        let s = v.pointee.seg[unchecked: segment]
        if !is64 { guard s.attributes & 0x9E == 0x92, offset &+ size &- 1 <= UInt64(s.limit) else { return nil } }
        let linear = ((is64 && segment < 4 ? 0 : s.base) &+ offset) & t.pointee.addressMask
        let entry = t.pointee.tlb + Int(truncatingIfNeeded: (linear &>> 12) & UInt64(TLBEntry.entries - 1))
        guard (write ? entry.pointee.write : entry.pointee.read) == linear & ~0xFFF else { return nil }
        return (entry.pointee.addend &+ UInt(truncatingIfNeeded: linear), linear, is64 ? .max : UInt64(s.limit) &- offset &+ 1)
    }
}

@inline(__always)
private func stringStep<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ o: OpPointer, _ mnemonic: Mnemonic, _ mask: UInt64, _: T.Type) throws(Fault) {
    let bytes = T.bitWidth / 8
    let source = c.reg(si, UInt64.self) & mask
    let destination = c.reg(di, UInt64.self) & mask
    switch mnemonic {
    case .movs:
        let value = try c.load(c.stringAddress(Int(o.pointee.seg), source, bytes, write: false), T.self)
        try c.store(c.stringAddress(Seg.es, destination, bytes, write: true), value)
        c.advance(si, mask, bytes)
        c.advance(di, mask, bytes)
    case .stos:
        try c.store(c.stringAddress(Seg.es, destination, bytes, write: true), c.reg(0, T.self))
        c.advance(di, mask, bytes)
    case .lods:
        let value = try c.load(c.stringAddress(Int(o.pointee.seg), source, bytes, write: false), T.self)
        c.setReg(0, value)
        c.advance(si, mask, bytes)
    case .cmps:
        let x = try c.load(c.stringAddress(Int(o.pointee.seg), source, bytes, write: false), T.self)
        let y = try c.load(c.stringAddress(Seg.es, destination, bytes, write: false), T.self)
        _ = c.sub(x, y)
        c.advance(si, mask, bytes)
        c.advance(di, mask, bytes)
    case .scas:
        let y = try c.load(c.stringAddress(Seg.es, destination, bytes, write: false), T.self)
        _ = c.sub(c.reg(0, T.self), y)
        c.advance(di, mask, bytes)
    case .ins:
        let port = c.reg(16, UInt16.self)
        try c.checkIO(port, bytes)
        // The destination is proved first: the port read has effects.
        let place = try c.stringAddress(Seg.es, destination, bytes, write: true)
        try c.probeWrite(place, bytes)
        try c.store(place, T(truncatingIfNeeded: c.t.pointee.processor.readPort(port, size: bytes)))
        c.advance(di, mask, bytes)
    default:
        let port = c.reg(16, UInt16.self)
        try c.checkIO(port, bytes)
        let value = try c.load(c.stringAddress(Int(o.pointee.seg), source, bytes, write: false), T.self)
        c.t.pointee.processor.writePort(port, size: bytes, UInt32(truncatingIfNeeded: value))
        c.advance(si, mask, bytes)
    }
}
