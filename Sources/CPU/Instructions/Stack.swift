/// PUSH and POP of memory, PUSHA, POPA, ENTER, LEAVE. SDM Vol. 2A/2B, under their names.

func pushRM(_ c: Core, _ o: OpPointer) throws(Fault) {
    switch o.pointee.flags & 3 {
    case 1: try c.push(c.loadRM(o, UInt16.self))
    case 2: try c.push(c.loadRM(o, UInt32.self))
    default: try c.push(c.loadRM(o, UInt64.self))
    }
}

/// POP r/m: an address that uses (E)SP uses its value after the pop; a fault in the store leaves it as before.
func popRM(_ c: Core, _ o: OpPointer) throws(Fault) {
    switch o.pointee.flags & 3 {
    case 1: try popRM(c, o, UInt16.self)
    case 2: try popRM(c, o, UInt32.self)
    default: try popRM(c, o, UInt64.self)
    }
}

private func popRM<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ o: OpPointer, _: T.Type) throws(Fault) {
    let old = c.rsp
    let value = try c.pop(T.self)
    do throws(Fault) { try c.storeRM(o, value) } catch {
        c.rsp = old
        throw error
    }
}

func pusha(_ c: Core, _ o: OpPointer) throws(Fault) {
    if o.pointee.flags & 3 == 1 { try pushAll(c, UInt16.self) } else { try pushAll(c, UInt32.self) }
}

@inline(__always)
private func pushAll<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _: T.Type) throws(Fault) {
    let mask = c.stackMask
    let size = UInt64(T.bitWidth / 8)
    let top = c.rsp
    // From the lowest address: a fault there leaves all as it was, and memory is only written when all eight can be.
    for n in 0..<8 { try c.probeWrite(c.linear(Seg.ss, (top &- size &* UInt64(n + 1)) & mask, Int(size), write: true), Int(size)) }
    for n in 0..<8 { try c.store(Seg.ss, (top &- size &* UInt64(n + 1)) & mask, c.gpr(n, T.self)) }
    c.setStackPointer(top &- size &* 8)
}

func popa(_ c: Core, _ o: OpPointer) throws(Fault) {
    if o.pointee.flags & 3 == 1 { try popAll(c, UInt16.self) } else { try popAll(c, UInt32.self) }
}

@inline(__always)
private func popAll<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _: T.Type) throws(Fault) {
    let size = UInt64(T.bitWidth / 8)
    var values = InlineArray<8, T>(repeating: 0)
    for n in 0..<8 { values[n] = try c.peekStack(size &* UInt64(n), T.self) }
    let top = c.rsp
    // DI SI BP (SP skipped) BX DX CX AX.
    for n in 0..<8 where n != 3 { c.setGPR(7 - n, values[n]) }
    c.rsp = top
    c.setStackPointer(top &+ size &* 8)
}

/// ENTER imm16, imm8 (`wide` = level << 16 | size).
func enter(_ c: Core, _ o: OpPointer) throws(Fault) {
    switch o.pointee.flags & 3 {
    case 1: try enterFrame(c, o, UInt16.self)
    case 2: try enterFrame(c, o, UInt32.self)
    default: try enterFrame(c, o, UInt64.self)
    }
}

@inline(__always)
private func enterFrame<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ o: OpPointer, _: T.Type) throws(Fault) {
    let mask = c.stackMask
    let size = UInt64(T.bitWidth / 8)
    let bytes = UInt64(o.pointee.wide & 0xFFFF)
    let level = Int((o.pointee.wide >> 16) & 31)
    var sp = (c.rsp &- size) & mask
    // A 32-bit frame pointer gets all of ESP even where the stack is 16 bits wide.
    let frame = (c.rsp & ~mask) | sp
    try c.store(Seg.ss, sp, c.reg(40, T.self))
    if level > 0 {
        var bp = c.reg(40, UInt64.self)
        for _ in 1..<max(level, 1) {
            bp = (bp &- size) & mask
            let value = try c.load(Seg.ss, bp, T.self)
            sp = (sp &- size) & mask
            try c.store(Seg.ss, sp, value)
        }
        sp = (sp &- size) & mask
        try c.store(Seg.ss, sp, T(truncatingIfNeeded: frame))
    }
    sp = (sp &- bytes) & mask
    // The new top must be writable: SDM checks it last.
    try c.probeWrite(c.linear(Seg.ss, sp, T.bitWidth / 8, write: true), T.bitWidth / 8)
    c.setReg(40, T(truncatingIfNeeded: frame))
    c.setStackPointer(sp)
}

func leave(_ c: Core, _ o: OpPointer) throws(Fault) {
    let mask = c.stackMask
    let frame = c.reg(40, UInt64.self) & mask
    switch o.pointee.flags & 3 {
    case 1:
        let value = try c.load(Seg.ss, frame, UInt16.self)
        c.setStackPointer(frame &+ 2)
        c.setReg(40, value)
    case 2:
        let value = try c.load(Seg.ss, frame, UInt32.self)
        c.setStackPointer(frame &+ 4)
        c.setReg(40, value)
    default:
        let value = try c.load(Seg.ss, frame, UInt64.self)
        c.setStackPointer(frame &+ 8)
        c.setReg(40, value)
    }
}

/// XLAT: AL := [rBX + AL].
func xlat(_ c: Core, _ o: OpPointer) throws(Fault) {
    let offset = (c.reg(24, UInt64.self) &+ UInt64(c.al)) & o.pointee.addressMask
    c.al = try c.load(Int(o.pointee.seg), offset, UInt8.self)
}
