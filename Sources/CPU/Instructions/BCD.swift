/// Decimal adjustment. SDM Vol. 2A, "AAA", "AAD", "AAM", "AAS", "DAA", "DAS".

/// AAM imm8: AH := AL / imm8, AL := AL mod imm8; SF ZF PF from AL. Throws #DE when imm8 is 0; AX is then unchanged.
func aam(_ c: Core, _ o: OpPointer) throws(Fault) {
    let base = UInt8(truncatingIfNeeded: o.pointee.imm)
    guard base != 0 else { throw .divideError }
    let (q, r) = c.al.quotientAndRemainder(dividingBy: base)
    c.ax = UInt16(q) << 8 | UInt16(r)
    c.setLogicFlags(r)
}

/// AAD imm8: AL := AL + AH * imm8, AH := 0; SF ZF PF from AL.
func aad(_ c: Core, _ o: OpPointer) {
    let r = c.al &+ c.ah &* UInt8(truncatingIfNeeded: o.pointee.imm)
    c.ax = UInt16(r)
    c.setLogicFlags(r)
}

/// AAA and AAS: AL's low digit, carry into AH; CF = AF. The other flags are undefined (SF ZF PF from AL here).
func asciiAdjust(_ c: Core, subtract: Bool) {
    let adjust = c.al & 0xF > 9 || c.af
    if adjust { c.ax = subtract ? c.ax &- 0x106 : c.ax &+ 0x106 }
    c.al &= 0xF
    c.setLogicFlags(c.al)
    c.v.pointee.lazyAux = adjust ? (3 &<< 62) | 8 : 0
}

/// DAA and DAS; OF is undefined (0 here).
func decimalAdjust(_ c: Core, subtract: Bool) {
    let old = c.al
    let oldCarry = c.cf
    var al = old
    var carry = false
    let adjustLow = old & 0xF > 9 || c.af
    if adjustLow {
        carry = oldCarry || (subtract ? old < 6 : old > 0xF9)
        al = subtract ? al &- 6 : al &+ 6
    }
    if old > 0x99 || oldCarry {
        al = subtract ? al &- 0x60 : al &+ 0x60
        carry = true
    }
    c.al = al
    c.setLogicFlags(al)
    c.v.pointee.lazyAux = (carry ? 3 &<< 62 : 0) | (adjustLow ? 8 : 0)
}
