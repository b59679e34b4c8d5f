import Primitives

/// Moves of segment registers: MOV, PUSH, POP, LDS and its kin.
///
/// Source: SDM Vol. 2, MOV, POP, PUSH, LDS/LES/LFS/LGS/LSS; Vol. 3A, "Loading Segment Registers".

/// MOV r/m, Sreg (8C): 16 bits to memory; a 32-bit register is zero-extended, as the P6 does.
func mov_EwSw(_ c: Core, _ o: OpPointer) throws(Fault) {
    let number = o.pointee.regField
    guard number < 6 else { throw .invalidOpcode }
    let selector = c.segment(number).selector
    if o.pointee.isRegisterForm && o.pointee.operandBytes >= 4 {
        c.setReg(o.pointee.b, UInt32(selector))
    } else {
        try c.storeRM(o, selector)
    }
}

/// MOV Sreg, r/m16 (8E). CS and numbers 6, 7 are #UD.
func mov_SwEw(_ c: Core, _ o: OpPointer) throws(Fault) {
    let number = o.pointee.regField
    guard number < 6, number != Seg.cs else { throw .invalidOpcode }
    try c.loadSegment(number, c.loadRM(o, UInt16.self))
    if number == Seg.ss { c.v.pointee.shadow = Shadow.movSS }
}

/// PUSH Sreg, number in `a`; a 32-bit push is zero-extended.
func push_Sw(_ c: Core, _ o: OpPointer) throws(Fault) {
    let selector = c.segment(Int(o.pointee.a) & 7).selector
    switch o.pointee.operandBytes {
    case 2: try c.push(selector)
    case 4: try c.push(UInt32(selector))
    default: try c.push(UInt64(selector))
    }
}

/// POP Sreg, number in `a`: the stack pointer moves by the operand size once the segment is loaded.
func pop_Sw(_ c: Core, _ o: OpPointer) throws(Fault) {
    let number = Int(o.pointee.a) & 7
    guard number < 6, number != Seg.cs else { throw .invalidOpcode }
    let selector: UInt16
    switch o.pointee.operandBytes {
    case 2: selector = try c.peekStack(0, UInt16.self)
    case 4: selector = UInt16(truncatingIfNeeded: try c.peekStack(0, UInt32.self))
    default: selector = UInt16(truncatingIfNeeded: try c.peekStack(0, UInt64.self))
    }
    // POP SS moves the pointer by the old stack's width.
    let mask = c.stackMask
    let pointer = c.rsp & ~mask | (c.rsp &+ UInt64(o.pointee.operandBytes)) & mask
    try c.loadSegment(number, selector)
    c.rsp = pointer
    if number == Seg.ss { c.v.pointee.shadow = Shadow.movSS }
}

/// LES, LDS, LSS, LFS, LGS: segment number in `imm`, offset register in `a`. A register operand is #UD.
func loadFarPointer(_ c: Core, _ o: OpPointer) throws(Fault) {
    if o.pointee.isRegisterForm { throw .invalidOpcode }
    let bytes = o.pointee.operandBytes
    let (offset, selector) = try c.farPointer(o, bytes)
    let number = Int(truncatingIfNeeded: o.pointee.imm) & 7
    guard number < 6, number != Seg.cs else { throw .invalidOpcode }
    try c.loadSegment(number, selector)
    if bytes == 2 {
        c.setReg(o.pointee.a, UInt16(truncatingIfNeeded: offset))
    } else if bytes == 4 {
        c.setReg(o.pointee.a, UInt32(truncatingIfNeeded: offset))
    } else {
        c.setReg(o.pointee.a, offset)
    }
}

func les(_ c: Core, _ o: OpPointer) throws(Fault) { try loadFarPointer(c, o) }
func lds(_ c: Core, _ o: OpPointer) throws(Fault) { try loadFarPointer(c, o) }
func lss(_ c: Core, _ o: OpPointer) throws(Fault) { try loadFarPointer(c, o) }
func lfs(_ c: Core, _ o: OpPointer) throws(Fault) { try loadFarPointer(c, o) }
func lgs(_ c: Core, _ o: OpPointer) throws(Fault) { try loadFarPointer(c, o) }

extension Core {
    /// A far pointer in memory: offset of `bytes`, then the selector.
    func farPointer(_ o: OpPointer, _ bytes: Int) throws(Fault) -> (offset: UInt64, selector: UInt16) {
        let seg = Int(o.pointee.seg), at = effectiveOffset(o)
        let offset: UInt64
        switch bytes {
        case 2: offset = UInt64(try load(seg, at, UInt16.self))
        case 4: offset = UInt64(try load(seg, at, UInt32.self))
        default: offset = try load(seg, at, UInt64.self)
        }
        return (offset, try load(seg, (at &+ UInt64(bytes)) & o.pointee.addressMask, UInt16.self))
    }
}
