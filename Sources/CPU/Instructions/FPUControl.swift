import Primitives

// x87 control instructions, environment and state images, FXSAVE. SDM Vol. 1, "x87 FPU Control Instructions", figures of the four layouts;
// Vol. 2A, "FXSAVE".

extension Core {
    /// DB E0–E7. FENI, FDISI (8087) and FSETPM (80287) do nothing.
    func fpuControlRegisterForm(_ i: Int) throws(Fault) {
        switch i {
        case 0, 1, 4: break
        case 2: fnclex()
        case 3: fninit()
        default: throw .invalidOpcode
        }
    }

    func fnclex() {
        v.pointee.fpu.status &= FSW.conditions
        if cr0 & CR0.ne == 0 { t.pointee.processor.bus.setFERR(false) }
    }

    /// Register contents stay; all are marked empty. SDM Vol. 2A, "FINIT/FNINIT".
    func fninit() {
        let pending = v.pointee.fpu.status & FSW.es != 0
        v.pointee.fpu.control = 0x037F
        v.pointee.fpu.status = 0
        v.pointee.fpu.top = 0
        v.pointee.fpu.empty = 0xFF
        v.pointee.fpu.opcode = 0
        v.pointee.fpu.instructionPointer = 0
        v.pointee.fpu.instructionSelector = 0
        v.pointee.fpu.dataPointer = 0
        v.pointee.fpu.dataSelector = 0
        if pending, cr0 & CR0.ne == 0 { t.pointee.processor.bus.setFERR(false) }
    }

    /// Bit 6 reads as 1; bits 7 and 13–15 as 0. An exception that a new mask uncovers becomes pending.
    func setFPUControl(_ value: UInt16) {
        v.pointee.fpu.control = value & 0x1F3F | 0x40
        refreshErrorSummary()
    }

    func fldcw(_ o: OpPointer) throws(Fault) {
        let value = try load(effectiveLinear(o, 2, write: false), UInt16.self)
        setFPUControl(value)
    }

    // MARK: Tags

    /// The tag word by physical register: 0 valid, 1 zero, 2 special, 3 empty.
    var tagWord: UInt16 {
        var word: UInt16 = 0
        for n in 0..<8 {
            let x = F80(v.pointee.fpu.significand[n], v.pointee.fpu.signExponent[n])
            let tag: UInt16
            if v.pointee.fpu.empty & (1 &<< UInt8(n)) != 0 {
                tag = 3
            } else if x.isZero {
                tag = 1
            } else {
                tag = x.isNormal ? 0 : 2
            }
            word |= tag &<< UInt16(2 * n)
        }
        return word
    }

    /// Only "empty or not" is taken from a loaded tag word; the processor classifies the contents itself.
    private func setTagWord(_ word: UInt16) {
        var empty: UInt8 = 0
        for n in 0..<8 where (word &>> UInt16(2 * n)) & 3 == 3 { empty |= 1 &<< UInt8(n) }
        v.pointee.fpu.empty = empty
    }

    // MARK: Environment

    /// Seven fields of 2 or 4 bytes. Reserved bits are stored as 1 above 16-bit fields, as 0 within the address fields.
    private func environmentImage(wide: Bool) -> InlineArray<7, UInt32> {
        let f = v.pointee.fpu
        var image = InlineArray<7, UInt32>(repeating: 0)
        let fill: UInt32 = 0xFFFF_0000
        image[0] = fill | UInt32(f.control)
        image[1] = fill | UInt32(statusWord)
        image[2] = fill | UInt32(tagWord)
        let opcode = UInt32(f.opcode & 0x7FF)
        let ip = UInt32(truncatingIfNeeded: f.instructionPointer)
        let dp = UInt32(truncatingIfNeeded: f.dataPointer)
        if isRealOrV86 {
            // Linear addresses: 20 bits in the 16-bit layout, 32 in the wide one.
            let linearIP = UInt32(f.instructionSelector) &<< 4 &+ ip
            let linearDP = UInt32(f.dataSelector) &<< 4 &+ dp
            image[3] = fill | linearIP & 0xFFFF
            image[5] = fill | linearDP & 0xFFFF
            if wide {
                image[4] = (linearIP & 0xFFFF_0000) &>> 4 | opcode
                image[6] = (linearDP & 0xFFFF_0000) &>> 4
            } else {
                image[4] = (linearIP & 0xF_0000) &>> 4 | opcode
                image[6] = (linearDP & 0xF_0000) &>> 4
            }
        } else {
            image[3] = ip
            image[4] = UInt32(f.instructionSelector) | (wide ? opcode &<< 16 : 0)
            image[5] = dp
            image[6] = fill | UInt32(f.dataSelector)
        }
        return image
    }

    /// Linear address of the field at `offset` in an image that starts at `start`.
    @inline(__always)
    func within(_ start: UInt64, _ offset: Int) -> UInt64 { (start &+ UInt64(offset)) & t.pointee.addressMask }

    /// Proves that an image of fewer than 4096 bytes can be written, so that a page fault leaves memory and state alone.
    private func imageForWriting(_ o: OpPointer, _ bytes: Int) throws(Fault) -> UInt64 {
        let start = try effectiveLinear(o, bytes, write: true)
        try probeWrite(start, 1)
        try probeWrite(within(start, bytes - 1), 1)
        return start
    }

    private func storeEnvironment(at start: UInt64, wide: Bool) throws(Fault) {
        let image = environmentImage(wide: wide)
        for i in 0..<7 {
            if wide {
                try store(within(start, 4 * i), image[i])
            } else {
                try store(within(start, 2 * i), UInt16(truncatingIfNeeded: image[i]))
            }
        }
    }

    private func environment(at start: UInt64, wide: Bool) throws(Fault) -> InlineArray<7, UInt32> {
        var image = InlineArray<7, UInt32>(repeating: 0)
        for i in 0..<7 {
            image[i] = wide ? try load(within(start, 4 * i), UInt32.self) : UInt32(try load(within(start, 2 * i), UInt16.self))
        }
        return image
    }

    private func setEnvironment(_ image: InlineArray<7, UInt32>, wide: Bool) {
        let real = isRealOrV86
        let status = UInt16(truncatingIfNeeded: image[1])
        v.pointee.fpu.status = status & ~0x3800
        v.pointee.fpu.top = UInt8(truncatingIfNeeded: status &>> 11) & 7
        setTagWord(UInt16(truncatingIfNeeded: image[2]))
        if real {
            let high: UInt32 = wide ? 0x0FFF_F000 : 0xF000
            v.pointee.fpu.instructionPointer = UInt64(image[3] & 0xFFFF | (image[4] & high) &<< 4)
            v.pointee.fpu.dataPointer = UInt64(image[5] & 0xFFFF | (image[6] & high) &<< 4)
            v.pointee.fpu.instructionSelector = 0
            v.pointee.fpu.dataSelector = 0
            v.pointee.fpu.opcode = UInt16(truncatingIfNeeded: image[4]) & 0x7FF
        } else {
            v.pointee.fpu.instructionPointer = UInt64(image[3])
            v.pointee.fpu.instructionSelector = UInt16(truncatingIfNeeded: image[4])
            v.pointee.fpu.dataPointer = UInt64(image[5])
            v.pointee.fpu.dataSelector = UInt16(truncatingIfNeeded: image[6])
            // The 16-bit protected layout has no opcode field.
            v.pointee.fpu.opcode = wide ? UInt16(truncatingIfNeeded: image[4] &>> 16) & 0x7FF : 0
        }
        setFPUControl(UInt16(truncatingIfNeeded: image[0]))
    }

    /// The environment is 28 bytes with a 32-bit operand size, 14 with a 16-bit one.
    @inline(__always)
    private func isWide(_ o: OpPointer) -> Bool { o.pointee.operandBytes != 2 }

    /// Masks all exceptions after storing.
    func fnstenv(_ o: OpPointer) throws(Fault) {
        let wide = isWide(o)
        let start = try imageForWriting(o, wide ? 28 : 14)
        try storeEnvironment(at: start, wide: wide)
        setFPUControl(fpuControl | FSW.exceptions)
    }

    func fldenv(_ o: OpPointer) throws(Fault) {
        let wide = isWide(o)
        let start = try effectiveLinear(o, wide ? 28 : 14, write: false)
        setEnvironment(try environment(at: start, wide: wide), wide: wide)
    }

    func fnsave(_ o: OpPointer) throws(Fault) {
        let wide = isWide(o)
        let header = wide ? 28 : 14
        let start = try imageForWriting(o, header + 80)
        try storeEnvironment(at: start, wide: wide)
        // In words: the image is aligned like its fields (#AC), not like the significands.
        for i in 0..<8 {
            let x = st(i)
            for j in 0..<4 {
                try store(within(start, header + 10 * i + 2 * j), UInt16(truncatingIfNeeded: x.significand &>> UInt64(16 * j)))
            }
            try store(within(start, header + 10 * i + 8), x.signExponent)
        }
        fninit()
    }

    func frstor(_ o: OpPointer) throws(Fault) {
        let wide = isWide(o)
        let header = wide ? 28 : 14
        let start = try effectiveLinear(o, header + 80, write: false)
        let image = try environment(at: start, wide: wide)
        var significands = InlineArray<8, UInt64>(repeating: 0)
        var signExponents = InlineArray<8, UInt16>(repeating: 0)
        for i in 0..<8 {
            for j in 0..<4 {
                significands[i] |= UInt64(try load(within(start, header + 10 * i + 2 * j), UInt16.self)) &<< UInt64(16 * j)
            }
            signExponents[i] = try load(within(start, header + 10 * i + 8), UInt16.self)
        }
        setEnvironment(image, wide: wide)
        for i in 0..<8 {
            let n = fpuPhysical(i)
            v.pointee.fpu.significand[n] = significands[i]
            v.pointee.fpu.signExponent[n] = signExponents[i]
        }
    }

    /// Bits of MXCSR that may be set; FXSAVE stores it as MXCSR_MASK.
    static let mxcsrMask: UInt32 = 0xFFFF
    /// XMM registers in an FXSAVE image: 16 in 64-bit mode.
    var fxsaveVectorCount: Int { is64 ? 16 : 8 }
}

/// FXSAVE: 512 bytes, 16-aligned. Does not wait for pending exceptions. XMM registers and MXCSR go with CR4.OSFXSR.
/// - Throws: #NM with CR0.EM or TS, #GP(0) for a misaligned operand, memory faults.
func fxsave(_ c: Core, _ o: OpPointer) throws(Fault) {
    if c.cr0 & (CR0.em | CR0.ts) != 0 { throw .deviceNotAvailable }
    let start = try c.effectiveLinear(o, 512, write: true)
    if start & 15 != 0 { throw .generalProtection }
    // The image may cross one page end; after this nothing faults.
    try c.probeWrite(start, 1)
    try c.probeWrite(c.within(start, 511), 1)
    try c.storeX87Image(start, wide: o.pointee.operandBytes == 8)
    if c.cr4 & CR4.osfxsr != 0 {
        try c.storeMXCSRImage(start)
        try c.storeXMMImage(start)
    }
}

/// FXRSTOR. Reserved bits of MXCSR raise #GP(0) and nothing is loaded.
/// - Throws: as FXSAVE.
func fxrstor(_ c: Core, _ o: OpPointer) throws(Fault) {
    if c.cr0 & (CR0.em | CR0.ts) != 0 { throw .deviceNotAvailable }
    let start = try c.effectiveLinear(o, 512, write: false)
    if start & 15 != 0 { throw .generalProtection }
    // Everything is read before anything is loaded. A 16-aligned image never wraps inside an item.
    var image = InlineArray<52, UInt64>(repeating: 0)
    let vectors = c.cr4 & CR4.osfxsr != 0 ? c.fxsaveVectorCount : 0
    for i in 0..<(20 + 2 * vectors) { image[i] = try c.load(c.within(start, 8 * i), UInt64.self) }
    let mxcsr = UInt32(truncatingIfNeeded: image[3])
    if vectors != 0 && mxcsr & ~Core.mxcsrMask != 0 { throw .generalProtection }
    c.setX87Image(image, wide: o.pointee.operandBytes == 8)
    if vectors != 0 {
        c.v.pointee.mxcsr = mxcsr
        for i in 0..<vectors {
            c.v.pointee.vector[4 * i] = image[20 + 2 * i]
            c.v.pointee.vector[4 * i + 1] = image[21 + 2 * i]
        }
    }
}

// The pieces of the image that FXSAVE and XSAVE share. `wide`: REX.W, 64-bit pointers without selectors.
extension Core {
    func storeX87Image(_ start: UInt64, wide: Bool) throws(Fault) {
        let f = v.pointee.fpu
        try store(within(start, 0), UInt32(f.control) | UInt32(statusWord) &<< 16)
        // Abridged tags: 1 is "not empty".
        try store(within(start, 4), UInt32(~f.empty) | UInt32(f.opcode & 0x7FF) &<< 16)
        if wide {
            try store(within(start, 8), f.instructionPointer)
            try store(within(start, 16), f.dataPointer)
        } else {
            try store(within(start, 8), f.instructionPointer & 0xFFFF_FFFF | UInt64(f.instructionSelector) &<< 32)
            try store(within(start, 16), f.dataPointer & 0xFFFF_FFFF | UInt64(f.dataSelector) &<< 32)
        }
        for i in 0..<8 {
            try store(within(start, 32 + 16 * i), st(i).significand)
            try store(within(start, 40 + 16 * i), UInt64(st(i).signExponent))
        }
    }

    func storeMXCSRImage(_ start: UInt64) throws(Fault) {
        try store(within(start, 24), UInt64(v.pointee.mxcsr) | UInt64(Core.mxcsrMask) &<< 32)
    }

    func storeXMMImage(_ start: UInt64) throws(Fault) {
        for i in 0..<fxsaveVectorCount {
            try store(within(start, 160 + 16 * i), v.pointee.vector[4 * i])
            try store(within(start, 168 + 16 * i), v.pointee.vector[4 * i + 1])
        }
    }

    /// Loads the x87 from an image in 8-byte words.
    func setX87Image(_ image: InlineArray<52, UInt64>, wide: Bool) {
        let status = UInt16(truncatingIfNeeded: image[0] &>> 16)
        v.pointee.fpu.status = status & ~0x3800
        v.pointee.fpu.top = UInt8(truncatingIfNeeded: status &>> 11) & 7
        v.pointee.fpu.empty = ~UInt8(truncatingIfNeeded: image[0] &>> 32)
        v.pointee.fpu.opcode = UInt16(truncatingIfNeeded: image[0] &>> 48) & 0x7FF
        if wide {
            v.pointee.fpu.instructionPointer = image[1]
            v.pointee.fpu.dataPointer = image[2]
        } else {
            v.pointee.fpu.instructionPointer = image[1] & 0xFFFF_FFFF
            v.pointee.fpu.dataPointer = image[2] & 0xFFFF_FFFF
            v.pointee.fpu.instructionSelector = UInt16(truncatingIfNeeded: image[1] &>> 32)
            v.pointee.fpu.dataSelector = UInt16(truncatingIfNeeded: image[2] &>> 32)
        }
        for i in 0..<8 {
            let n = fpuPhysical(i)
            v.pointee.fpu.significand[n] = image[4 + 2 * i]
            v.pointee.fpu.signExponent[n] = UInt16(truncatingIfNeeded: image[5 + 2 * i])
        }
        setFPUControl(UInt16(truncatingIfNeeded: image[0]))
    }
}
