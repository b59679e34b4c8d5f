import Primitives

// x87 loads, stores, conversions, constants and moves between registers. SDM Vol. 2, the instructions' pages.

extension Core {
    // MARK: Loads

    /// FLD m80, and any value that needs no conversion.
    @inline(__always)
    func fldPlain(_ value: F80) {
        if isEmpty(7) {
            v.pointee.fpu.status &= ~FSW.c1
            pushST(value)
        } else if stackOverflow() {
            pushST(.indefinite)
        }
    }

    @inline(__always)
    func fld(single bits: UInt32) {
        let value = F80(single: bits)
        if value != .notPlain { fldPlain(value) } else { fldConverted(.loadSingle, F80(UInt64(bits), 0)) }
    }

    @inline(__always)
    func fld(double bits: UInt64) {
        let value = F80(double: bits)
        if value != .notPlain { fldPlain(value) } else { fldConverted(.loadDouble, F80(bits, 0)) }
    }

    /// Denormals (#D) and NaNs (#IA when signalling). An unmasked #IA pushes nothing; an unmasked #D does push, as measured.
    @inline(never)
    private func fldConverted(_ operation: HostOperation, _ operand: F80) {
        guard isEmpty(7) else { return fldPlain(.indefinite) }
        let r = hostLoad(operation, operand)
        if enter(r.flags) & FSW.ie == 0 { pushST(r.value) }
    }

    @inline(__always)
    func fild(_ value: Int64) { fldPlain(F80(integer: value)) }

    func fbld(_ image: F80) { fldPlain(hostLoad(.loadBCD, image).value) }

    /// FLD ST(i).
    @inline(__always)
    func fld(register i: Int) {
        if isEmpty(i) || !isEmpty(7) {
            // Both faults at once: the source's is the one reported, as measured.
            if isEmpty(i) ? stackUnderflow() : stackOverflow() { pushST(.indefinite) }
        } else {
            fldPlain(st(i))
        }
    }

    /// FLD1 FLDL2T FLDL2E FLDPI FLDLG2 FLDLN2 FLDZ, from 66-bit constants rounded by RC. SDM Vol. 2A, "FLD1/FLDL2T/…".
    func fldConstant(_ i: Int) {
        var value: F80
        /// What to add where the rounding mode is down or chop (the nearest value lies above), or up (it lies below).
        let above: Bool
        switch i {
        case 0: return fldPlain(F80(F80.integerBit, 0x3FFF))
        case 1: (value, above) = (F80(0xD49A_784B_CD1B_8AFE, 0x4000), false)
        case 2: (value, above) = (F80(0xB8AA_3B29_5C17_F0BC, 0x3FFF), true)
        case 3: (value, above) = (F80(0xC90F_DAA2_2168_C235, 0x4000), true)
        case 4: (value, above) = (F80(0x9A20_9A84_FBCF_F799, 0x3FFD), true)
        case 5: (value, above) = (F80(0xB172_17F7_D1CF_79AC, 0x3FFE), true)
        default: return fldPlain(.zero)
        }
        switch fpuControl & FCW.rounding {
        case 0: break
        case FCW.up: value.significand &+= above ? 0 : 1
        default: value.significand &-= above ? 1 : 0
        }
        fldPlain(value)
    }

    // MARK: Stores

    /// FST, FSTP m32. An unmasked #IA, #O or #U stores nothing and does not pop; an unmasked #P stores.
    @inline(__always)
    func fst_m32(_ o: OpPointer, pops: Bool) throws(Fault) {
        guard !isEmpty(0) else { return try storeEmpty(o, UInt32.self, 0xFFC0_0000, pops: pops) }
        var (bits, flags) = st(0).toSingle(fpuControl)
        if flags & Rounded.declinedFlag != 0 {
            let r = hostStore(.storeSingle)
            (bits, flags) = (UInt32(truncatingIfNeeded: r.value.significand), r.flags)
        }
        try finishStore(o, bits, flags, pops: pops)
    }

    @inline(__always)
    func fst_m64(_ o: OpPointer, pops: Bool) throws(Fault) {
        guard !isEmpty(0) else { return try storeEmpty(o, UInt64.self, 0xFFF8_0000_0000_0000, pops: pops) }
        var (bits, flags) = st(0).toDouble(fpuControl)
        if flags & Rounded.declinedFlag != 0 {
            let r = hostStore(.storeDouble)
            (bits, flags) = (r.value.significand, r.flags)
        }
        try finishStore(o, bits, flags, pops: pops)
    }

    /// FIST, FISTP. The masked response to #IA is the integer indefinite, the most negative value.
    @inline(__always)
    func fist<T: FixedWidthInteger & UnsignedInteger>(_ o: OpPointer, _: T.Type, _ operation: HostOperation, pops: Bool) throws(Fault) {
        guard !isEmpty(0) else { return try storeEmpty(o, T.self, 1 &<< T(truncatingIfNeeded: T.bitWidth - 1), pops: pops) }
        let (value, fast) = st(0).toInteger(T.bitWidth, fpuControl)
        var bits = T(truncatingIfNeeded: value)
        var flags = fast
        if flags & Rounded.declinedFlag != 0 {
            let r = hostStore(operation)
            (bits, flags) = (T(truncatingIfNeeded: r.value.significand), r.flags)
        }
        try finishStore(o, bits, flags, pops: pops)
    }

    /// Nothing of the FPU changes before the store succeeded.
    @inline(__always)
    private func finishStore<T: FixedWidthInteger & UnsignedInteger>(_ o: OpPointer, _ bits: T, _ flags: UInt16, pops: Bool) throws(Fault) {
        if flags & (FSW.ie | FSW.oe | FSW.ue) & ~fpuControl != 0 {
            try proveFPUOperand(o, T.bitWidth / 8)
            _ = enter(flags)
            return
        }
        try storeFPUOperand(o, bits)
        _ = enter(flags)
        if pops { popST() }
    }

    @inline(never)
    private func storeEmpty<T: FixedWidthInteger & UnsignedInteger>(_ o: OpPointer, _: T.Type, _ indefinite: T, pops: Bool) throws(Fault) {
        if fpuControl & FSW.ie != 0 {
            try storeFPUOperand(o, indefinite)
        } else {
            try proveFPUOperand(o, T.bitWidth / 8)
        }
        if stackUnderflow(), pops { popST() }
    }

    /// The checks of a store that an unmasked exception then suppresses: memory faults come first, as measured.
    @inline(never)
    private func proveFPUOperand(_ o: OpPointer, _ bytes: Int) throws(Fault) {
        try probeWrite(effectiveLinear(o, bytes, write: true), bytes)
        note(o, data: effectiveOffset(o))
    }

    /// FSTP m80: every image is stored as it is.
    func fstp_m80(_ o: OpPointer) throws(Fault) {
        if isEmpty(0) { return try storeEmpty80(o, .indefinite) }
        try storeFPUOperand80(o, st(0))
        v.pointee.fpu.status &= ~FSW.c1
        popST()
    }

    func fbstp(_ o: OpPointer) throws(Fault) {
        // Packed decimal indefinite: FFFF C000 0000 0000 0000.
        if isEmpty(0) { return try storeEmpty80(o, .indefinite) }
        let r = hostStore(.storeBCD)
        if r.flags & FSW.ie & ~fpuControl != 0 {
            try proveFPUOperand(o, 10)
            _ = enter(r.flags)
            return
        }
        try storeFPUOperand80(o, r.value)
        _ = enter(r.flags)
        popST()
    }

    private func storeEmpty80(_ o: OpPointer, _ indefinite: F80) throws(Fault) {
        if fpuControl & FSW.ie != 0 {
            try storeFPUOperand80(o, indefinite)
        } else {
            try proveFPUOperand(o, 10)
        }
        if stackUnderflow() { popST() }
    }

    // MARK: Between registers

    /// FST, FSTP ST(i).
    @inline(__always)
    func fst(register i: Int, pops: Bool) {
        if isEmpty(0) {
            guard stackUnderflow() else { return }
            setST(i, .indefinite)
        } else {
            v.pointee.fpu.status &= ~FSW.c1
            setST(i, st(0))
        }
        if pops { popST() }
    }

    /// D9 D8+i, FSTP without the check of ST(0): an empty register is popped and nothing stored (as measured; undocumented).
    func fstpUnchecked(_ i: Int) {
        v.pointee.fpu.status &= ~FSW.c1
        if !isEmpty(0) { setST(i, st(0)) }
        popST()
    }

    /// FFREE, and FFREEP (undocumented). C1 is undefined by the manual; processors clear it.
    func ffree(_ i: Int, pops: Bool) {
        v.pointee.fpu.status &= ~FSW.c1
        freeST(i)
        if pops { popST() }
    }

    @inline(__always)
    func fxch(_ i: Int) {
        let x = st(0)
        let y = st(i)
        if isEmpty(0) || isEmpty(i) {
            let first = isEmpty(0)
            let second = isEmpty(i)
            guard stackUnderflow() else { return }
            setST(0, second ? .indefinite : y)
            setST(i, first ? .indefinite : x)
            return
        }
        v.pointee.fpu.status &= ~FSW.c1
        setST(0, y)
        setST(i, x)
    }

    /// FCMOVcc: below, equal, below or equal, unordered (DA), and their negations (DB). SDM Vol. 2A, "FCMOVcc".
    /// C1 changes only with a stack fault.
    func fcmov(_ i: Int, _ row: Int) {
        if isEmpty(0) || isEmpty(i) {
            if stackUnderflow() { setST(0, .indefinite) }
            return
        }
        let mask: UInt32
        switch row & 3 {
        case 0: mask = EFlags.cf
        case 1: mask = EFlags.zf
        case 2: mask = EFlags.cf | EFlags.zf
        default: mask = EFlags.pf
        }
        if (eflags & mask != 0) == (row < 24) { setST(0, st(i)) }
    }
}
