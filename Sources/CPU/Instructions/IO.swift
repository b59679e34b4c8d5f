import Primitives

/// IN and OUT. SDM Vol. 2A/2B, "IN", "OUT"; permission by IOPL and the TSS bitmap (Vol. 1, "I/O Protection").
func inPort(_ c: Core, _ o: OpPointer, immediate: Bool) throws(Fault) {
    let port = immediate ? Port(UInt8(truncatingIfNeeded: o.pointee.imm)) : c.reg(16, UInt16.self)
    let bytes = o.pointee.operandBytes
    try c.checkIO(port, bytes)
    let value = c.t.pointee.processor.readPort(port, size: bytes)
    switch bytes {
    case 1: c.al = UInt8(truncatingIfNeeded: value)
    case 2: c.ax = UInt16(truncatingIfNeeded: value)
    default: c.eax = value
    }
}

func outPort(_ c: Core, _ o: OpPointer, immediate: Bool) throws(Fault) {
    let port = immediate ? Port(UInt8(truncatingIfNeeded: o.pointee.imm)) : c.reg(16, UInt16.self)
    let bytes = o.pointee.operandBytes
    try c.checkIO(port, bytes)
    let mask: UInt32 = bytes == 1 ? 0xFF : bytes == 2 ? 0xFFFF : .max
    c.t.pointee.processor.writePort(port, size: bytes, c.eax & mask)
}
