/// Shifts and rotates. SDM Vol. 2B, "SAL/SAR/SHL/SHR", "RCL/RCR/ROL/ROR", "SHLD", "SHRD".
///
/// Undefined flags, as this processor sets them: OF after counts other than 1 as if the last step were a shift by 1; AF 0;
/// SHLD/SHRD with a count above 16 on 16-bit operands go on into the second operand's bits.

@inline(__always)
func shl<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ x: T, _ count: T) -> T {
    let r = x &<< count
    let top = T(truncatingIfNeeded: T.bitWidth &- 1)
    c.setShiftFlags(r, carry: (x &>> (T(truncatingIfNeeded: T.bitWidth) &- count)) & 1 != 0, overflow: (r ^ (x &<< (count &- 1))) &>> top != 0)
    return r
}

@inline(__always)
func shr<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ x: T, _ count: T) -> T {
    let r = x &>> count
    let top = T(truncatingIfNeeded: T.bitWidth &- 1)
    c.setShiftFlags(r, carry: (x &>> (count &- 1)) & 1 != 0, overflow: ((r &<< 1) ^ r) &>> top != 0)
    return r
}

@inline(__always)
func sar<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ x: T, _ count: T) -> T {
    // The extension to 64 bits is the same number, so that one shift serves both widths.
    let wide = Int64(bitPattern: c.signExtended(x))
    let n = Int64(truncatingIfNeeded: count)
    let r = T(truncatingIfNeeded: wide &>> n)
    c.setShiftFlags(r, carry: (wide &>> (n &- 1)) & 1 != 0, overflow: false)
    return r
}

extension Core {
    /// SF ZF PF from the result, CF and OF as given, AF 0.
    @inline(__always)
    func setShiftFlags<T: FixedWidthInteger & UnsignedInteger>(_ result: T, carry: Bool, overflow: Bool) {
        v.pointee.lazyResult = signExtended(result)
        let cy: UInt64 = carry ? 1 : 0
        let po: UInt64 = carry != overflow ? 1 : 0
        v.pointee.lazyAux = (cy &<< 63) | (po &<< 62)
    }
}

func shiftRegister<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ o: OpPointer, _ count: UInt8, _: T.Type) {
    c.setReg(o.pointee.a, shifted(c, o.pointee.sub, c.reg(o.pointee.a, T.self), count))
}

/// The linear address is in the base register slot (flat, or computed by `segAddr`). The operand is written back even for count 0.
func shiftMemory<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ o: OpPointer, _ count: UInt8, _: T.Type) throws(Fault) {
    let linear =
        (c.reg(o.pointee.base, UInt64.self) &+ (c.reg(o.pointee.index, UInt64.self) &<< UInt64(o.pointee.scale))
            &+ UInt64(bitPattern: Int64(o.pointee.disp))) & c.t.pointee.addressMask
    try c.modify(linear, T.self) { shifted(c, o.pointee.sub, $0, count) }
}

/// `operation`: the ModR/M reg field, 0 ROL … 7 SAR. Flags are untouched when the masked count is 0.
@inline(__always)
private func shifted<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ operation: UInt16, _ x: T, _ rawCount: UInt8) -> T {
    let count = Int(rawCount & (T.bitWidth == 64 ? 63 : 31))
    if count == 0 { return x }
    let width = T.bitWidth
    let top = T(1) &<< T(truncatingIfNeeded: width &- 1)
    switch operation {
    case 0:
        let r = rotateLeft(x, count % width)
        c.setCarryOverflow(r & 1 != 0, (r & top != 0) != (r & 1 != 0))
        return r
    case 1:
        let r = rotateLeft(x, (width &- count % width) % width)
        c.setCarryOverflow(r & top != 0, (r & top != 0) != (r & (top &>> 1) != 0))
        return r
    case 2:
        let steps = count % (width &+ 1)
        var r = x
        var carry = c.cf
        for _ in 0..<steps {
            let out = r & top != 0
            r = (r &<< 1) | (carry ? 1 : 0)
            carry = out
        }
        c.setCarryOverflow(carry, (r & top != 0) != carry)
        return r
    case 3:
        let steps = count % (width &+ 1)
        var r = x
        var carry = c.cf
        for _ in 0..<steps {
            let out = r & 1 != 0
            r = (r &>> 1) | (carry ? top : 0)
            carry = out
        }
        c.setCarryOverflow(carry, (r & top != 0) != (r & (top &>> 1) != 0))
        return r
    case 4, 6:
        if width == 64 { return shl(c, x, T(truncatingIfNeeded: count)) }
        // Wide arithmetic: counts up to 31 exceed 8 and 16 bits.
        let wide = UInt64(truncatingIfNeeded: x) &<< UInt64(count)
        let r = T(truncatingIfNeeded: wide)
        let carry = (wide &>> UInt64(width)) & 1 != 0
        c.setShiftFlags(r, carry: carry, overflow: (r & top != 0) != carry)
        return r
    case 5:
        let wide = UInt64(truncatingIfNeeded: x)
        let r = T(truncatingIfNeeded: wide &>> UInt64(count))
        c.setShiftFlags(r, carry: (wide &>> UInt64(count &- 1)) & 1 != 0, overflow: ((r &<< 1) ^ r) & top != 0)
        return r
    default:
        let wide = Int64(bitPattern: c.signExtended(x))
        let r = T(truncatingIfNeeded: wide &>> Int64(count))
        c.setShiftFlags(r, carry: (wide &>> Int64(count &- 1)) & 1 != 0, overflow: false)
        return r
    }
}

@inline(__always)
private func rotateLeft<T: FixedWidthInteger & UnsignedInteger>(_ x: T, _ count: Int) -> T {
    count == 0 ? x : (x &<< T(truncatingIfNeeded: count)) | (x &>> T(truncatingIfNeeded: T.bitWidth &- count))
}

/// SHLD/SHRD r/m, r, imm8 or CL.
func doubleShift(_ c: Core, _ o: OpPointer, left: Bool) throws(Fault) {
    let byCL = Mnemonic(rawValue: o.pointee.sub) == (left ? .shld : .shrd) && o.pointee.wide == 1
    let wide = o.pointee.flags & 3 == 3
    let count = Int((byCL ? c.reg(8, UInt8.self) : UInt8(truncatingIfNeeded: o.pointee.imm)) & (wide ? 63 : 31))
    if wide {
        let source = c.reg(o.pointee.a, UInt64.self)
        if o.pointee.isRegisterForm {
            c.setReg(o.pointee.b, doubleShift(c, c.reg(o.pointee.b, UInt64.self), source, count, left))
        } else {
            try c.modify(c.effectiveLinear(o, 8, write: true), UInt64.self) { doubleShift(c, $0, source, count, left) }
        }
        return
    }
    if o.pointee.flags & 3 == 1 {
        let source = c.reg(o.pointee.a, UInt16.self)
        if o.pointee.isRegisterForm {
            c.setReg(o.pointee.b, double16(c, c.reg(o.pointee.b, UInt16.self), source, count, left))
        } else {
            try c.modify(c.effectiveLinear(o, 2, write: true), UInt16.self) { double16(c, $0, source, count, left) }
        }
    } else {
        let source = c.reg(o.pointee.a, UInt32.self)
        if o.pointee.isRegisterForm {
            c.setReg(o.pointee.b, doubleShift(c, c.reg(o.pointee.b, UInt32.self), source, count, left))
        } else {
            try c.modify(c.effectiveLinear(o, 4, write: true), UInt32.self) { doubleShift(c, $0, source, count, left) }
        }
    }
}

private func doubleShift<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ x: T, _ y: T, _ count: Int, _ left: Bool) -> T {
    if count == 0 { return x }
    let n = T(truncatingIfNeeded: count)
    let other = T(truncatingIfNeeded: T.bitWidth &- count)
    let top = T(truncatingIfNeeded: T.bitWidth &- 1)
    let r = left ? (x &<< n) | (y &>> other) : (x &>> n) | (y &<< other)
    let carry = left ? (x &>> other) & 1 != 0 : (x &>> (n &- 1)) & 1 != 0
    // OF: the sign changed in the last step.
    let overflow = left ? (r &>> top != 0) != carry : ((r ^ (r &<< 1)) &>> top) != 0
    c.setShiftFlags(r, carry: carry, overflow: overflow)
    return r
}

private func double16(_ c: Core, _ x: UInt16, _ y: UInt16, _ count: Int, _ left: Bool) -> UInt16 {
    if count == 0 { return x }
    let n = UInt64(count)
    // Three words in a row: counts above 16 bring the destination's own bits in again.
    let r: UInt16
    let carry: Bool
    if left {
        let wide = UInt64(x) &<< 32 | UInt64(y) &<< 16 | UInt64(x)
        r = UInt16(truncatingIfNeeded: (wide &<< n) &>> 32)
        carry = ((wide &<< n) &>> 48) & 1 != 0
        c.setShiftFlags(r, carry: carry, overflow: (r >> 15 != 0) != carry)
    } else {
        let wide = UInt64(x) &<< 32 | UInt64(y) &<< 16 | UInt64(x)
        r = UInt16(truncatingIfNeeded: wide &>> n)
        carry = (wide &>> (n &- 1)) & 1 != 0
        c.setShiftFlags(r, carry: carry, overflow: (r ^ (r &<< 1)) >> 15 != 0)
    }
    return r
}
