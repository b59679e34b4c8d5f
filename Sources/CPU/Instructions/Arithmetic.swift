/// Multiplication and division. SDM Vol. 2A, "MUL", "IMUL", "DIV", "IDIV".
///
/// Undefined flags, as this processor sets them: SF ZF PF from the low half of a product, AF 0; divisions leave flags alone.

/// Two-operand IMUL: CF = OF = the product does not fit.
@inline(__always)
func multiply(_ c: Core, _ x: UInt32, _ y: UInt32) -> UInt32 {
    let wide = Int64(Int32(bitPattern: x)) &* Int64(Int32(bitPattern: y))
    let r = UInt32(truncatingIfNeeded: wide)
    let over = wide != Int64(Int32(truncatingIfNeeded: wide))
    c.setShiftFlags(r, carry: over, overflow: over)
    return r
}

@inline(__always)
func multiply(_ c: Core, _ x: UInt64, _ y: UInt64) -> UInt64 {
    let (high, low) = Int64(bitPattern: x).multipliedFullWidth(by: Int64(bitPattern: y))
    let over = high != Int64(bitPattern: low) &>> 63
    c.setShiftFlags(low, carry: over, overflow: over)
    return low
}

@inline(__always)
func multiply(_ c: Core, _ x: UInt16, _ y: UInt16) -> UInt16 {
    let wide = Int32(Int16(bitPattern: x)) &* Int32(Int16(bitPattern: y))
    let r = UInt16(truncatingIfNeeded: wide)
    let over = wide != Int32(Int16(truncatingIfNeeded: wide))
    c.setShiftFlags(r, carry: over, overflow: over)
    return r
}

/// MUL r/m: accumulator times operand into AX, DX:AX, EDX:EAX.
func mul(_ c: Core, _ o: OpPointer) throws(Fault) {
    switch o.pointee.flags & 3 {
    case 0:
        let wide = UInt16(c.al) &* UInt16(try c.loadRM(o, UInt8.self))
        c.ax = wide
        c.setShiftFlags(UInt8(truncatingIfNeeded: wide), carry: wide > 0xFF, overflow: wide > 0xFF)
    case 1:
        let wide = UInt32(c.ax) &* UInt32(try c.loadRM(o, UInt16.self))
        c.ax = UInt16(truncatingIfNeeded: wide)
        c.setReg(16, UInt16(truncatingIfNeeded: wide >> 16))
        c.setShiftFlags(UInt16(truncatingIfNeeded: wide), carry: wide > 0xFFFF, overflow: wide > 0xFFFF)
    default: mul(c, try c.loadRM(o, UInt32.self))
    }
}

@inline(__always)
func mul(_ c: Core, _ operand: UInt32) {
    let wide = UInt64(c.eax) &* UInt64(operand)
    c.eax = UInt32(truncatingIfNeeded: wide)
    c.edx = UInt32(truncatingIfNeeded: wide >> 32)
    c.setShiftFlags(UInt32(truncatingIfNeeded: wide), carry: wide > 0xFFFF_FFFF, overflow: wide > 0xFFFF_FFFF)
}

@inline(__always)
func mul(_ c: Core, _ operand: UInt64) {
    let (high, low) = c.reg(0, UInt64.self).multipliedFullWidth(by: operand)
    c.setReg(0, low)
    c.setReg(16, high)
    c.setShiftFlags(low, carry: high != 0, overflow: high != 0)
}

/// IMUL r/m (one operand), and the 16-bit forms of the others (`wide` = 1: two operands, 2: three).
func imul(_ c: Core, _ o: OpPointer) throws(Fault) {
    if o.pointee.wide == 1 {
        return c.setReg(o.pointee.a, multiply(c, c.reg(o.pointee.a, UInt16.self), try c.loadRM(o, UInt16.self)))
    }
    if o.pointee.wide == 2 {
        return c.setReg(o.pointee.a, multiply(c, try c.loadRM(o, UInt16.self), UInt16(truncatingIfNeeded: o.pointee.imm)))
    }
    switch o.pointee.flags & 3 {
    case 0:
        let wide = Int16(Int8(bitPattern: c.al)) &* Int16(Int8(bitPattern: try c.loadRM(o, UInt8.self)))
        c.ax = UInt16(bitPattern: wide)
        let over = wide != Int16(Int8(truncatingIfNeeded: wide))
        c.setShiftFlags(UInt8(truncatingIfNeeded: wide), carry: over, overflow: over)
    case 1:
        let wide = Int32(Int16(bitPattern: c.ax)) &* Int32(Int16(bitPattern: try c.loadRM(o, UInt16.self)))
        c.ax = UInt16(truncatingIfNeeded: wide)
        c.setReg(16, UInt16(truncatingIfNeeded: wide >> 16))
        let over = wide != Int32(Int16(truncatingIfNeeded: wide))
        c.setShiftFlags(UInt16(truncatingIfNeeded: wide), carry: over, overflow: over)
    default: imul(c, try c.loadRM(o, UInt32.self))
    }
}

@inline(__always)
func imul(_ c: Core, _ operand: UInt32) {
    let wide = Int64(Int32(bitPattern: c.eax)) &* Int64(Int32(bitPattern: operand))
    c.eax = UInt32(truncatingIfNeeded: wide)
    c.edx = UInt32(truncatingIfNeeded: wide >> 32)
    let over = wide != Int64(Int32(truncatingIfNeeded: wide))
    c.setShiftFlags(UInt32(truncatingIfNeeded: wide), carry: over, overflow: over)
}

@inline(__always)
func imul(_ c: Core, _ operand: UInt64) {
    let (high, low) = Int64(bitPattern: c.reg(0, UInt64.self)).multipliedFullWidth(by: Int64(bitPattern: operand))
    c.setReg(0, low)
    c.setReg(16, UInt64(bitPattern: high))
    let over = high != Int64(bitPattern: low) &>> 63
    c.setShiftFlags(low, carry: over, overflow: over)
}

/// DIV r/m. Throws #DE when the divisor is 0 or the quotient does not fit; nothing is changed then.
func div(_ c: Core, _ o: OpPointer) throws(Fault) {
    switch o.pointee.flags & 3 {
    case 0:
        let divisor = UInt16(try c.loadRM(o, UInt8.self))
        guard divisor != 0, c.ax / divisor <= 0xFF else { throw .divideError }
        let (q, r) = c.ax.quotientAndRemainder(dividingBy: divisor)
        c.ax = q | r << 8
    case 1:
        let divisor = UInt32(try c.loadRM(o, UInt16.self))
        let dividend = UInt32(c.reg(16, UInt16.self)) << 16 | UInt32(c.ax)
        guard divisor != 0, dividend / divisor <= 0xFFFF else { throw .divideError }
        let (q, r) = dividend.quotientAndRemainder(dividingBy: divisor)
        c.ax = UInt16(truncatingIfNeeded: q)
        c.setReg(16, UInt16(truncatingIfNeeded: r))
    default: try div(c, try c.loadRM(o, UInt32.self))
    }
}

@inline(__always)
func div(_ c: Core, _ divisor: UInt32) throws(Fault) {
    // The quotient fits when the high half is below the divisor, which also rules out 0.
    let (high, low) = (c.edx, c.eax)
    guard high < divisor else { throw .divideError }
    let (q, r) = divisor.dividingFullWidth((high, low))
    c.eax = q
    c.edx = r
}

@inline(__always)
func div(_ c: Core, _ divisor: UInt64) throws(Fault) {
    let (high, low) = (c.reg(16, UInt64.self), c.reg(0, UInt64.self))
    guard high < divisor else { throw .divideError }
    let (q, r) = divisor.dividingFullWidth((high, low))
    c.setReg(0, q)
    c.setReg(16, r)
}

/// IDIV r/m. Throws #DE like DIV.
func idiv(_ c: Core, _ o: OpPointer) throws(Fault) {
    switch o.pointee.flags & 3 {
    case 0:
        let divisor = Int32(Int8(bitPattern: try c.loadRM(o, UInt8.self)))
        let dividend = Int32(Int16(bitPattern: c.ax))
        guard divisor != 0 else { throw .divideError }
        let (q, r) = dividend.quotientAndRemainder(dividingBy: divisor)
        guard q == Int32(Int8(truncatingIfNeeded: q)) else { throw .divideError }
        c.ax = UInt16(UInt8(truncatingIfNeeded: q)) | UInt16(UInt8(truncatingIfNeeded: r)) << 8
    case 1:
        let divisor = Int64(Int16(bitPattern: try c.loadRM(o, UInt16.self)))
        let dividend = Int64(Int32(bitPattern: UInt32(c.reg(16, UInt16.self)) << 16 | UInt32(c.ax)))
        guard divisor != 0 else { throw .divideError }
        let (q, r) = dividend.quotientAndRemainder(dividingBy: divisor)
        guard q == Int64(Int16(truncatingIfNeeded: q)) else { throw .divideError }
        c.ax = UInt16(truncatingIfNeeded: q)
        c.setReg(16, UInt16(truncatingIfNeeded: r))
    default: try idiv(c, try c.loadRM(o, UInt32.self))
    }
}

@inline(__always)
func idiv(_ c: Core, _ operand: UInt32) throws(Fault) {
    let divisor = Int64(Int32(bitPattern: operand))
    let dividend = Int64(bitPattern: UInt64(c.edx) << 32 | UInt64(c.eax))
    // The one 64-bit division that overflows on the host.
    guard divisor != 0, !(dividend == .min && divisor == -1) else { throw .divideError }
    let (q, r) = dividend.quotientAndRemainder(dividingBy: divisor)
    guard q == Int64(Int32(truncatingIfNeeded: q)) else { throw .divideError }
    c.eax = UInt32(truncatingIfNeeded: q)
    c.edx = UInt32(truncatingIfNeeded: r)
}

/// 128 by 64 bits: divided as magnitudes, so that nothing can overflow on the host.
func idiv(_ c: Core, _ operand: UInt64) throws(Fault) {
    var (high, low) = (c.reg(16, UInt64.self), c.reg(0, UInt64.self))
    let divisor = Int64(bitPattern: operand).magnitude
    let negative = Int64(bitPattern: high) < 0
    if negative {
        low = 0 &- low
        high = ~high &+ (low == 0 ? 1 : 0)
    }
    guard high < divisor else { throw .divideError }
    let (q, r) = divisor.dividingFullWidth((high, low))
    let negativeQuotient = negative != (Int64(bitPattern: operand) < 0)
    guard q <= (negativeQuotient ? 1 &<< 63 : (1 &<< 63) &- 1) else { throw .divideError }
    c.setReg(0, negativeQuotient ? 0 &- q : q)
    c.setReg(16, negative ? 0 &- r : r)
}
