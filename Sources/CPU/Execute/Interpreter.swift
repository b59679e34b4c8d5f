import Primitives

/// The interpreter of decoded blocks.
///
/// One switch over an exhaustive enum; a block runs from its first operation to a taken branch and links straight to the next
/// block on the same page. Retired instructions are subtracted from the budget at each exit: `n` of the leaving operation says
/// how many instructions of the block ran.
///
/// Returns nil when the dispatcher is to look up (`c.rip` is the next instruction), else the fault (`c.rip` is its instruction).
func execute(_ c: Core, _ first: BlockPointer) -> Fault? {
    first.pointee.mode & Mode.long != 0 ? interpret(c, first, UInt64.self) : interpret(c, first, UInt32.self)
}

/// The word of the code: what addresses, near branches and a flat stack use. The loop exists once for each.
private protocol NativeWord: FixedWidthInteger, UnsignedInteger {}
extension UInt32: NativeWord {}
extension UInt64: NativeWord {}

@inline(never)
private func interpret<W: NativeWord>(_ c: Core, _ first: BlockPointer, _: W.Type) -> Fault? {
    var block = first
    var o = first.ops
    do throws(Fault) {
        while true {
            switch o.pointee.kind {
            case .bail:
                c.rip = block.pointee.rip &+ UInt64(o.pointee.ipOffset)
                c.t.pointee.budget &-= Int64(o.pointee.n)
                return nil
            case .segBase: c.v.pointee.scratchAddress = c.v.pointee.seg[unchecked: Int(o.pointee.seg)].base &+ c.effectiveOffset(o)
            case .ripAddr: c.v.pointee.scratchAddress = o.pointee.wide
            case .segAddr:
                c.v.pointee.scratchAddress = try c.linear(
                    Int(o.pointee.seg), c.effectiveOffset(o), Int(o.pointee.sub & 0xFF), write: o.pointee.sub & 0x100 != 0)
            case .slow:
                try slow(c, block, o)
                if c.t.pointee.leaveBlock {
                    c.t.pointee.budget &-= Int64(o.pointee.n) &+ 1
                    return nil
                }
            case .slowEnd:
                try slow(c, block, o)
                c.t.pointee.budget &-= Int64(o.pointee.n) &+ 1
                return nil
            case .fpu:
                enterSlow(c, block, o)
                try executeFPU(c, o)
                c.t.pointee.exact = false
                if c.t.pointee.leaveBlock {
                    c.t.pointee.budget &-= Int64(o.pointee.n) &+ 1
                    return nil
                }
            case .mmx:
                enterSlow(c, block, o)
                try executeMMX(c, o)
                c.t.pointee.exact = false
                if c.t.pointee.leaveBlock {
                    c.t.pointee.budget &-= Int64(o.pointee.n) &+ 1
                    return nil
                }
            case .vector:
                enterSlow(c, block, o)
                try executeVector(c, o)
                c.t.pointee.exact = false
                if c.t.pointee.leaveBlock {
                    c.t.pointee.budget &-= Int64(o.pointee.n) &+ 1
                    return nil
                }
            case .add_rr8: rr(c, o, .add, UInt8.self)
            case .add_rr16: rr(c, o, .add, UInt16.self)
            case .add_rr32: rr(c, o, .add, UInt32.self)
            case .add_rr64: rr(c, o, .add, UInt64.self)
            case .add_rm8: try rm(c, o, .add, UInt8.self, W.self)
            case .add_rm16: try rm(c, o, .add, UInt16.self, W.self)
            case .add_rm32: try rm(c, o, .add, UInt32.self, W.self)
            case .add_rm64: try rm(c, o, .add, UInt64.self, W.self)
            case .add_mr8: try mr(c, o, .add, UInt8.self, W.self)
            case .add_mr16: try mr(c, o, .add, UInt16.self, W.self)
            case .add_mr32: try mr(c, o, .add, UInt32.self, W.self)
            case .add_mr64: try mr(c, o, .add, UInt64.self, W.self)
            case .add_ri8: ri(c, o, .add, UInt8.self)
            case .add_ri16: ri(c, o, .add, UInt16.self)
            case .add_ri32: ri(c, o, .add, UInt32.self)
            case .add_ri64: ri(c, o, .add, UInt64.self)
            case .add_mi8: try mi(c, o, .add, UInt8.self, W.self)
            case .add_mi16: try mi(c, o, .add, UInt16.self, W.self)
            case .add_mi32: try mi(c, o, .add, UInt32.self, W.self)
            case .add_mi64: try mi(c, o, .add, UInt64.self, W.self)
            case .or_rr8: rr(c, o, .or, UInt8.self)
            case .or_rr16: rr(c, o, .or, UInt16.self)
            case .or_rr32: rr(c, o, .or, UInt32.self)
            case .or_rr64: rr(c, o, .or, UInt64.self)
            case .or_rm8: try rm(c, o, .or, UInt8.self, W.self)
            case .or_rm16: try rm(c, o, .or, UInt16.self, W.self)
            case .or_rm32: try rm(c, o, .or, UInt32.self, W.self)
            case .or_rm64: try rm(c, o, .or, UInt64.self, W.self)
            case .or_mr8: try mr(c, o, .or, UInt8.self, W.self)
            case .or_mr16: try mr(c, o, .or, UInt16.self, W.self)
            case .or_mr32: try mr(c, o, .or, UInt32.self, W.self)
            case .or_mr64: try mr(c, o, .or, UInt64.self, W.self)
            case .or_ri8: ri(c, o, .or, UInt8.self)
            case .or_ri16: ri(c, o, .or, UInt16.self)
            case .or_ri32: ri(c, o, .or, UInt32.self)
            case .or_ri64: ri(c, o, .or, UInt64.self)
            case .or_mi8: try mi(c, o, .or, UInt8.self, W.self)
            case .or_mi16: try mi(c, o, .or, UInt16.self, W.self)
            case .or_mi32: try mi(c, o, .or, UInt32.self, W.self)
            case .or_mi64: try mi(c, o, .or, UInt64.self, W.self)
            case .adc_rr8: rr(c, o, .adc, UInt8.self)
            case .adc_rr16: rr(c, o, .adc, UInt16.self)
            case .adc_rr32: rr(c, o, .adc, UInt32.self)
            case .adc_rr64: rr(c, o, .adc, UInt64.self)
            case .adc_rm8: try rm(c, o, .adc, UInt8.self, W.self)
            case .adc_rm16: try rm(c, o, .adc, UInt16.self, W.self)
            case .adc_rm32: try rm(c, o, .adc, UInt32.self, W.self)
            case .adc_rm64: try rm(c, o, .adc, UInt64.self, W.self)
            case .adc_mr8: try mr(c, o, .adc, UInt8.self, W.self)
            case .adc_mr16: try mr(c, o, .adc, UInt16.self, W.self)
            case .adc_mr32: try mr(c, o, .adc, UInt32.self, W.self)
            case .adc_mr64: try mr(c, o, .adc, UInt64.self, W.self)
            case .adc_ri8: ri(c, o, .adc, UInt8.self)
            case .adc_ri16: ri(c, o, .adc, UInt16.self)
            case .adc_ri32: ri(c, o, .adc, UInt32.self)
            case .adc_ri64: ri(c, o, .adc, UInt64.self)
            case .adc_mi8: try mi(c, o, .adc, UInt8.self, W.self)
            case .adc_mi16: try mi(c, o, .adc, UInt16.self, W.self)
            case .adc_mi32: try mi(c, o, .adc, UInt32.self, W.self)
            case .adc_mi64: try mi(c, o, .adc, UInt64.self, W.self)
            case .sbb_rr8: rr(c, o, .sbb, UInt8.self)
            case .sbb_rr16: rr(c, o, .sbb, UInt16.self)
            case .sbb_rr32: rr(c, o, .sbb, UInt32.self)
            case .sbb_rr64: rr(c, o, .sbb, UInt64.self)
            case .sbb_rm8: try rm(c, o, .sbb, UInt8.self, W.self)
            case .sbb_rm16: try rm(c, o, .sbb, UInt16.self, W.self)
            case .sbb_rm32: try rm(c, o, .sbb, UInt32.self, W.self)
            case .sbb_rm64: try rm(c, o, .sbb, UInt64.self, W.self)
            case .sbb_mr8: try mr(c, o, .sbb, UInt8.self, W.self)
            case .sbb_mr16: try mr(c, o, .sbb, UInt16.self, W.self)
            case .sbb_mr32: try mr(c, o, .sbb, UInt32.self, W.self)
            case .sbb_mr64: try mr(c, o, .sbb, UInt64.self, W.self)
            case .sbb_ri8: ri(c, o, .sbb, UInt8.self)
            case .sbb_ri16: ri(c, o, .sbb, UInt16.self)
            case .sbb_ri32: ri(c, o, .sbb, UInt32.self)
            case .sbb_ri64: ri(c, o, .sbb, UInt64.self)
            case .sbb_mi8: try mi(c, o, .sbb, UInt8.self, W.self)
            case .sbb_mi16: try mi(c, o, .sbb, UInt16.self, W.self)
            case .sbb_mi32: try mi(c, o, .sbb, UInt32.self, W.self)
            case .sbb_mi64: try mi(c, o, .sbb, UInt64.self, W.self)
            case .and_rr8: rr(c, o, .and, UInt8.self)
            case .and_rr16: rr(c, o, .and, UInt16.self)
            case .and_rr32: rr(c, o, .and, UInt32.self)
            case .and_rr64: rr(c, o, .and, UInt64.self)
            case .and_rm8: try rm(c, o, .and, UInt8.self, W.self)
            case .and_rm16: try rm(c, o, .and, UInt16.self, W.self)
            case .and_rm32: try rm(c, o, .and, UInt32.self, W.self)
            case .and_rm64: try rm(c, o, .and, UInt64.self, W.self)
            case .and_mr8: try mr(c, o, .and, UInt8.self, W.self)
            case .and_mr16: try mr(c, o, .and, UInt16.self, W.self)
            case .and_mr32: try mr(c, o, .and, UInt32.self, W.self)
            case .and_mr64: try mr(c, o, .and, UInt64.self, W.self)
            case .and_ri8: ri(c, o, .and, UInt8.self)
            case .and_ri16: ri(c, o, .and, UInt16.self)
            case .and_ri32: ri(c, o, .and, UInt32.self)
            case .and_ri64: ri(c, o, .and, UInt64.self)
            case .and_mi8: try mi(c, o, .and, UInt8.self, W.self)
            case .and_mi16: try mi(c, o, .and, UInt16.self, W.self)
            case .and_mi32: try mi(c, o, .and, UInt32.self, W.self)
            case .and_mi64: try mi(c, o, .and, UInt64.self, W.self)
            case .sub_rr8: rr(c, o, .sub, UInt8.self)
            case .sub_rr16: rr(c, o, .sub, UInt16.self)
            case .sub_rr32: rr(c, o, .sub, UInt32.self)
            case .sub_rr64: rr(c, o, .sub, UInt64.self)
            case .sub_rm8: try rm(c, o, .sub, UInt8.self, W.self)
            case .sub_rm16: try rm(c, o, .sub, UInt16.self, W.self)
            case .sub_rm32: try rm(c, o, .sub, UInt32.self, W.self)
            case .sub_rm64: try rm(c, o, .sub, UInt64.self, W.self)
            case .sub_mr8: try mr(c, o, .sub, UInt8.self, W.self)
            case .sub_mr16: try mr(c, o, .sub, UInt16.self, W.self)
            case .sub_mr32: try mr(c, o, .sub, UInt32.self, W.self)
            case .sub_mr64: try mr(c, o, .sub, UInt64.self, W.self)
            case .sub_ri8: ri(c, o, .sub, UInt8.self)
            case .sub_ri16: ri(c, o, .sub, UInt16.self)
            case .sub_ri32: ri(c, o, .sub, UInt32.self)
            case .sub_ri64: ri(c, o, .sub, UInt64.self)
            case .sub_mi8: try mi(c, o, .sub, UInt8.self, W.self)
            case .sub_mi16: try mi(c, o, .sub, UInt16.self, W.self)
            case .sub_mi32: try mi(c, o, .sub, UInt32.self, W.self)
            case .sub_mi64: try mi(c, o, .sub, UInt64.self, W.self)
            case .xor_rr8: rr(c, o, .xor, UInt8.self)
            case .xor_rr16: rr(c, o, .xor, UInt16.self)
            case .xor_rr32: rr(c, o, .xor, UInt32.self)
            case .xor_rr64: rr(c, o, .xor, UInt64.self)
            case .xor_rm8: try rm(c, o, .xor, UInt8.self, W.self)
            case .xor_rm16: try rm(c, o, .xor, UInt16.self, W.self)
            case .xor_rm32: try rm(c, o, .xor, UInt32.self, W.self)
            case .xor_rm64: try rm(c, o, .xor, UInt64.self, W.self)
            case .xor_mr8: try mr(c, o, .xor, UInt8.self, W.self)
            case .xor_mr16: try mr(c, o, .xor, UInt16.self, W.self)
            case .xor_mr32: try mr(c, o, .xor, UInt32.self, W.self)
            case .xor_mr64: try mr(c, o, .xor, UInt64.self, W.self)
            case .xor_ri8: ri(c, o, .xor, UInt8.self)
            case .xor_ri16: ri(c, o, .xor, UInt16.self)
            case .xor_ri32: ri(c, o, .xor, UInt32.self)
            case .xor_ri64: ri(c, o, .xor, UInt64.self)
            case .xor_mi8: try mi(c, o, .xor, UInt8.self, W.self)
            case .xor_mi16: try mi(c, o, .xor, UInt16.self, W.self)
            case .xor_mi32: try mi(c, o, .xor, UInt32.self, W.self)
            case .xor_mi64: try mi(c, o, .xor, UInt64.self, W.self)
            case .cmp_rr8: rr(c, o, .cmp, UInt8.self)
            case .cmp_rr16: rr(c, o, .cmp, UInt16.self)
            case .cmp_rr32: rr(c, o, .cmp, UInt32.self)
            case .cmp_rr64: rr(c, o, .cmp, UInt64.self)
            case .cmp_rm8: try rm(c, o, .cmp, UInt8.self, W.self)
            case .cmp_rm16: try rm(c, o, .cmp, UInt16.self, W.self)
            case .cmp_rm32: try rm(c, o, .cmp, UInt32.self, W.self)
            case .cmp_rm64: try rm(c, o, .cmp, UInt64.self, W.self)
            case .cmp_mr8: try mr(c, o, .cmp, UInt8.self, W.self)
            case .cmp_mr16: try mr(c, o, .cmp, UInt16.self, W.self)
            case .cmp_mr32: try mr(c, o, .cmp, UInt32.self, W.self)
            case .cmp_mr64: try mr(c, o, .cmp, UInt64.self, W.self)
            case .cmp_ri8: ri(c, o, .cmp, UInt8.self)
            case .cmp_ri16: ri(c, o, .cmp, UInt16.self)
            case .cmp_ri32: ri(c, o, .cmp, UInt32.self)
            case .cmp_ri64: ri(c, o, .cmp, UInt64.self)
            case .cmp_mi8: try mi(c, o, .cmp, UInt8.self, W.self)
            case .cmp_mi16: try mi(c, o, .cmp, UInt16.self, W.self)
            case .cmp_mi32: try mi(c, o, .cmp, UInt32.self, W.self)
            case .cmp_mi64: try mi(c, o, .cmp, UInt64.self, W.self)
            case .test_rr8: c.setLogicFlags(c.reg(o.pointee.a, UInt8.self) & c.reg(o.pointee.b, UInt8.self))
            case .test_mr8: c.setLogicFlags(try c.load(address(c, o, W.self), UInt8.self) & c.reg(o.pointee.a, UInt8.self))
            case .test_ri8: c.setLogicFlags(c.reg(o.pointee.a, UInt8.self) & immediate(o, UInt8.self))
            case .test_mi8: c.setLogicFlags(try c.load(address(c, o, W.self), UInt8.self) & immediate(o, UInt8.self))
            case .test_rr16: c.setLogicFlags(c.reg(o.pointee.a, UInt16.self) & c.reg(o.pointee.b, UInt16.self))
            case .test_mr16: c.setLogicFlags(try c.load(address(c, o, W.self), UInt16.self) & c.reg(o.pointee.a, UInt16.self))
            case .test_ri16: c.setLogicFlags(c.reg(o.pointee.a, UInt16.self) & immediate(o, UInt16.self))
            case .test_mi16: c.setLogicFlags(try c.load(address(c, o, W.self), UInt16.self) & immediate(o, UInt16.self))
            case .test_rr32: c.setLogicFlags(c.reg(o.pointee.a, UInt32.self) & c.reg(o.pointee.b, UInt32.self))
            case .test_rr64: c.setLogicFlags(c.reg(o.pointee.a, UInt64.self) & c.reg(o.pointee.b, UInt64.self))
            case .test_mr32: c.setLogicFlags(try c.load(address(c, o, W.self), UInt32.self) & c.reg(o.pointee.a, UInt32.self))
            case .test_mr64: c.setLogicFlags(try c.load(address(c, o, W.self), UInt64.self) & c.reg(o.pointee.a, UInt64.self))
            case .test_ri32: c.setLogicFlags(c.reg(o.pointee.a, UInt32.self) & immediate(o, UInt32.self))
            case .test_ri64: c.setLogicFlags(c.reg(o.pointee.a, UInt64.self) & immediate(o, UInt64.self))
            case .test_mi32: c.setLogicFlags(try c.load(address(c, o, W.self), UInt32.self) & immediate(o, UInt32.self))
            case .test_mi64: c.setLogicFlags(try c.load(address(c, o, W.self), UInt64.self) & immediate(o, UInt64.self))
            case .add_rr32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) &+ c.reg(o.pointee.b, UInt32.self))
            case .add_rr64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) &+ c.reg(o.pointee.b, UInt64.self))
            case .add_ri32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) &+ immediate(o, UInt32.self))
            case .add_ri64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) &+ immediate(o, UInt64.self))
            case .add_rm32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) &+ (try c.load(address(c, o, W.self), UInt32.self)))
            case .add_rm64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) &+ (try c.load(address(c, o, W.self), UInt64.self)))
            case .or_rr32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) | c.reg(o.pointee.b, UInt32.self))
            case .or_rr64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) | c.reg(o.pointee.b, UInt64.self))
            case .or_ri32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) | immediate(o, UInt32.self))
            case .or_ri64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) | immediate(o, UInt64.self))
            case .or_rm32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) | (try c.load(address(c, o, W.self), UInt32.self)))
            case .or_rm64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) | (try c.load(address(c, o, W.self), UInt64.self)))
            case .and_rr32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) & c.reg(o.pointee.b, UInt32.self))
            case .and_rr64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) & c.reg(o.pointee.b, UInt64.self))
            case .and_ri32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) & immediate(o, UInt32.self))
            case .and_ri64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) & immediate(o, UInt64.self))
            case .and_rm32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) & (try c.load(address(c, o, W.self), UInt32.self)))
            case .and_rm64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) & (try c.load(address(c, o, W.self), UInt64.self)))
            case .sub_rr32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) &- c.reg(o.pointee.b, UInt32.self))
            case .sub_rr64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) &- c.reg(o.pointee.b, UInt64.self))
            case .sub_ri32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) &- immediate(o, UInt32.self))
            case .sub_ri64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) &- immediate(o, UInt64.self))
            case .sub_rm32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) &- (try c.load(address(c, o, W.self), UInt32.self)))
            case .sub_rm64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) &- (try c.load(address(c, o, W.self), UInt64.self)))
            case .xor_rr32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) ^ c.reg(o.pointee.b, UInt32.self))
            case .xor_rr64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) ^ c.reg(o.pointee.b, UInt64.self))
            case .xor_ri32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) ^ immediate(o, UInt32.self))
            case .xor_ri64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) ^ immediate(o, UInt64.self))
            case .xor_rm32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) ^ (try c.load(address(c, o, W.self), UInt32.self)))
            case .xor_rm64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) ^ (try c.load(address(c, o, W.self), UInt64.self)))
            case .inc_r32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) &+ 1)
            case .inc_r64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) &+ 1)
            case .dec_r32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) &- 1)
            case .dec_r64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) &- 1)
            case .shl_ri32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) &<< immediate(o, UInt32.self))
            case .shl_ri64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) &<< immediate(o, UInt64.self))
            case .shr_ri32n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt32.self) &>> immediate(o, UInt32.self))
            case .shr_ri64n: c.setReg(o.pointee.a, c.reg(o.pointee.a, UInt64.self) &>> immediate(o, UInt64.self))
            case .sar_ri32n: c.setReg(o.pointee.a, arithmeticRight(c.reg(o.pointee.a, UInt32.self), immediate(o, UInt32.self)))
            case .sar_ri64n: c.setReg(o.pointee.a, arithmeticRight(c.reg(o.pointee.a, UInt64.self), immediate(o, UInt64.self)))
            case .mov_rr8: c.setReg(o.pointee.a, c.reg(o.pointee.b, UInt8.self))
            case .mov_rm8: c.setReg(o.pointee.a, try c.load(address(c, o, W.self), UInt8.self))
            case .mov_mr8: try c.store(address(c, o, W.self), c.reg(o.pointee.a, UInt8.self))
            case .mov_ri8: c.setReg(o.pointee.a, immediate(o, UInt8.self))
            case .mov_mi8: try c.store(address(c, o, W.self), immediate(o, UInt8.self))
            case .mov_rr16: c.setReg(o.pointee.a, c.reg(o.pointee.b, UInt16.self))
            case .mov_rm16: c.setReg(o.pointee.a, try c.load(address(c, o, W.self), UInt16.self))
            case .mov_mr16: try c.store(address(c, o, W.self), c.reg(o.pointee.a, UInt16.self))
            case .mov_ri16: c.setReg(o.pointee.a, immediate(o, UInt16.self))
            case .mov_mi16: try c.store(address(c, o, W.self), immediate(o, UInt16.self))
            case .mov_rr32: c.setReg(o.pointee.a, c.reg(o.pointee.b, UInt32.self))
            case .mov_rr64: c.setReg(o.pointee.a, c.reg(o.pointee.b, UInt64.self))
            case .mov_rm32: c.setReg(o.pointee.a, try c.load(address(c, o, W.self), UInt32.self))
            case .mov_rm64: c.setReg(o.pointee.a, try c.load(address(c, o, W.self), UInt64.self))
            case .mov_mr32: try c.store(address(c, o, W.self), c.reg(o.pointee.a, UInt32.self))
            case .mov_mr64: try c.store(address(c, o, W.self), c.reg(o.pointee.a, UInt64.self))
            case .mov_ri32: c.setReg(o.pointee.a, immediate(o, UInt32.self))
            case .mov_ri64: c.setReg(o.pointee.a, immediate(o, UInt64.self))
            case .mov_mi32: try c.store(address(c, o, W.self), immediate(o, UInt32.self))
            case .mov_mi64: try c.store(address(c, o, W.self), immediate(o, UInt64.self))
            case .movzx_r16r8: c.setReg(o.pointee.a, UInt16(c.reg(o.pointee.b, UInt8.self)))
            case .movzx_r16m8: c.setReg(o.pointee.a, UInt16(try c.load(address(c, o, W.self), UInt8.self)))
            case .movzx_r32r8: c.setReg(o.pointee.a, UInt32(c.reg(o.pointee.b, UInt8.self)))
            case .movzx_r32m8: c.setReg(o.pointee.a, UInt32(try c.load(address(c, o, W.self), UInt8.self)))
            case .movzx_r32r16: c.setReg(o.pointee.a, UInt32(c.reg(o.pointee.b, UInt16.self)))
            case .movzx_r32m16: c.setReg(o.pointee.a, UInt32(try c.load(address(c, o, W.self), UInt16.self)))
            case .movsx_r16r8: c.setReg(o.pointee.a, UInt16(truncatingIfNeeded: Int8(bitPattern: c.reg(o.pointee.b, UInt8.self))))
            case .movsx_r16m8: c.setReg(o.pointee.a, UInt16(truncatingIfNeeded: Int8(bitPattern: try c.load(address(c, o, W.self), UInt8.self))))
            case .movsx_r32r8: c.setReg(o.pointee.a, UInt32(truncatingIfNeeded: Int8(bitPattern: c.reg(o.pointee.b, UInt8.self))))
            case .movsx_r32m8: c.setReg(o.pointee.a, UInt32(truncatingIfNeeded: Int8(bitPattern: try c.load(address(c, o, W.self), UInt8.self))))
            case .movsx_r32r16: c.setReg(o.pointee.a, UInt32(truncatingIfNeeded: Int16(bitPattern: c.reg(o.pointee.b, UInt16.self))))
            case .movsx_r32m16: c.setReg(o.pointee.a, UInt32(truncatingIfNeeded: Int16(bitPattern: try c.load(address(c, o, W.self), UInt16.self))))
            case .movsx_r64r8: c.setReg(o.pointee.a, c.signExtended(c.reg(o.pointee.b, UInt8.self)))
            case .movsx_r64r16: c.setReg(o.pointee.a, c.signExtended(c.reg(o.pointee.b, UInt16.self)))
            case .movsx_r64r32: c.setReg(o.pointee.a, c.signExtended(c.reg(o.pointee.b, UInt32.self)))
            case .movsx_r64m8: c.setReg(o.pointee.a, c.signExtended(try c.load(address(c, o, W.self), UInt8.self)))
            case .movsx_r64m16: c.setReg(o.pointee.a, c.signExtended(try c.load(address(c, o, W.self), UInt16.self)))
            case .movsx_r64m32: c.setReg(o.pointee.a, c.signExtended(try c.load(address(c, o, W.self), UInt32.self)))
            case .mov_rw64: c.setReg(o.pointee.a, o.pointee.wide)
            case .lea64: c.setReg(o.pointee.a, address(c, o, UInt64.self))
            case .lea32: c.setReg(o.pointee.a, UInt32(truncatingIfNeeded: address(c, o, W.self)))
            case .lea_:
                let offset = c.effectiveOffset(o)
                switch o.pointee.flags & 3 {
                case 1: c.setReg(o.pointee.a, UInt16(truncatingIfNeeded: offset))
                case 2: c.setReg(o.pointee.a, UInt32(truncatingIfNeeded: offset))
                default: c.setReg(o.pointee.a, offset)
                }
            case .xchg_rr8:
                let x = c.reg(o.pointee.a, UInt8.self)
                c.setReg(o.pointee.a, c.reg(o.pointee.b, UInt8.self))
                c.setReg(o.pointee.b, x)
            case .xchg_mr8:
                let x = c.reg(o.pointee.a, UInt8.self)
                var old: UInt8 = 0
                try c.modify(address(c, o, W.self), UInt8.self) { old = $0; return x }
                c.setReg(o.pointee.a, old)
            case .xchg_rr16:
                let x = c.reg(o.pointee.a, UInt16.self)
                c.setReg(o.pointee.a, c.reg(o.pointee.b, UInt16.self))
                c.setReg(o.pointee.b, x)
            case .xchg_mr16:
                let x = c.reg(o.pointee.a, UInt16.self)
                var old: UInt16 = 0
                try c.modify(address(c, o, W.self), UInt16.self) { old = $0; return x }
                c.setReg(o.pointee.a, old)
            case .xchg_rr32:
                let x = c.reg(o.pointee.a, UInt32.self)
                c.setReg(o.pointee.a, c.reg(o.pointee.b, UInt32.self))
                c.setReg(o.pointee.b, x)
            case .xchg_rr64:
                let x = c.reg(o.pointee.a, UInt64.self)
                c.setReg(o.pointee.a, c.reg(o.pointee.b, UInt64.self))
                c.setReg(o.pointee.b, x)
            case .xchg_mr32:
                let x = c.reg(o.pointee.a, UInt32.self)
                var old: UInt32 = 0
                try c.modify(address(c, o, W.self), UInt32.self) { old = $0; return x }
                c.setReg(o.pointee.a, old)
            case .xchg_mr64:
                let x = c.reg(o.pointee.a, UInt64.self)
                var old: UInt64 = 0
                try c.modify(address(c, o, W.self), UInt64.self) { old = $0; return x }
                c.setReg(o.pointee.a, old)
            case .inc_r8: c.setReg(o.pointee.a, c.inc(c.reg(o.pointee.a, UInt8.self)))
            case .inc_m8: try c.modify(address(c, o, W.self), UInt8.self) { c.inc($0) }
            case .dec_r8: c.setReg(o.pointee.a, c.dec(c.reg(o.pointee.a, UInt8.self)))
            case .dec_m8: try c.modify(address(c, o, W.self), UInt8.self) { c.dec($0) }
            case .neg_r8: c.setReg(o.pointee.a, c.sub(0, c.reg(o.pointee.a, UInt8.self)))
            case .neg_m8: try c.modify(address(c, o, W.self), UInt8.self) { c.sub(0, $0) }
            case .not_r8: c.setReg(o.pointee.a, ~c.reg(o.pointee.a, UInt8.self))
            case .not_m8: try c.modify(address(c, o, W.self), UInt8.self) { ~$0 }
            case .inc_r16: c.setReg(o.pointee.a, c.inc(c.reg(o.pointee.a, UInt16.self)))
            case .inc_m16: try c.modify(address(c, o, W.self), UInt16.self) { c.inc($0) }
            case .dec_r16: c.setReg(o.pointee.a, c.dec(c.reg(o.pointee.a, UInt16.self)))
            case .dec_m16: try c.modify(address(c, o, W.self), UInt16.self) { c.dec($0) }
            case .neg_r16: c.setReg(o.pointee.a, c.sub(0, c.reg(o.pointee.a, UInt16.self)))
            case .neg_m16: try c.modify(address(c, o, W.self), UInt16.self) { c.sub(0, $0) }
            case .not_r16: c.setReg(o.pointee.a, ~c.reg(o.pointee.a, UInt16.self))
            case .not_m16: try c.modify(address(c, o, W.self), UInt16.self) { ~$0 }
            case .inc_r32: c.setReg(o.pointee.a, c.inc(c.reg(o.pointee.a, UInt32.self)))
            case .inc_r64: c.setReg(o.pointee.a, c.inc(c.reg(o.pointee.a, UInt64.self)))
            case .inc_m32: try c.modify(address(c, o, W.self), UInt32.self) { c.inc($0) }
            case .inc_m64: try c.modify(address(c, o, W.self), UInt64.self) { c.inc($0) }
            case .dec_r32: c.setReg(o.pointee.a, c.dec(c.reg(o.pointee.a, UInt32.self)))
            case .dec_r64: c.setReg(o.pointee.a, c.dec(c.reg(o.pointee.a, UInt64.self)))
            case .dec_m32: try c.modify(address(c, o, W.self), UInt32.self) { c.dec($0) }
            case .dec_m64: try c.modify(address(c, o, W.self), UInt64.self) { c.dec($0) }
            case .neg_r32: c.setReg(o.pointee.a, c.sub(0, c.reg(o.pointee.a, UInt32.self)))
            case .neg_r64: c.setReg(o.pointee.a, c.sub(0, c.reg(o.pointee.a, UInt64.self)))
            case .neg_m32: try c.modify(address(c, o, W.self), UInt32.self) { c.sub(0, $0) }
            case .neg_m64: try c.modify(address(c, o, W.self), UInt64.self) { c.sub(0, $0) }
            case .not_r32: c.setReg(o.pointee.a, ~c.reg(o.pointee.a, UInt32.self))
            case .not_r64: c.setReg(o.pointee.a, ~c.reg(o.pointee.a, UInt64.self))
            case .not_m32: try c.modify(address(c, o, W.self), UInt32.self) { ~$0 }
            case .not_m64: try c.modify(address(c, o, W.self), UInt64.self) { ~$0 }
            case .push_rf: try pushFlat(c, c.reg(o.pointee.a, W.self))
            case .push_if: try pushFlat(c, immediate(o, W.self))
            case .push_mf: try pushFlat(c, try c.load(address(c, o, W.self), W.self))
            case .pop_rf:
                let value = try c.load(UInt64(c.reg(32, W.self)), W.self)
                c.setReg(32, c.reg(32, W.self) &+ W(W.bitWidth / 8))
                c.setReg(o.pointee.a, value)
            case .push_r16: try c.push(c.reg(o.pointee.a, UInt16.self))
            case .push_r32: try c.push(c.reg(o.pointee.a, UInt32.self))
            case .push_i16: try c.push(immediate(o, UInt16.self))
            case .push_i32: try c.push(immediate(o, UInt32.self))
            case .pop_r16: c.setReg(o.pointee.a, try c.pop(UInt16.self))
            case .pop_r32: c.setReg(o.pointee.a, try c.pop(UInt32.self))
            case .leave_f:
                let frame = c.reg(40, W.self)
                let value = try c.load(UInt64(frame), W.self)
                c.setReg(32, frame &+ W(W.bitWidth / 8))
                c.setReg(40, value)
            case .shl_ri32: c.setReg(o.pointee.a, shl(c, c.reg(o.pointee.a, UInt32.self), immediate(o, UInt32.self)))
            case .shl_ri64: c.setReg(o.pointee.a, shl(c, c.reg(o.pointee.a, UInt64.self), immediate(o, UInt64.self)))
            case .shl_rc32:
                let count = UInt32(c.reg(8, UInt8.self) & 31)
                let x = c.reg(o.pointee.a, UInt32.self)
                c.setReg(o.pointee.a, count == 0 ? x : shl(c, x, count))
            case .shl_rc64:
                let count = UInt64(c.reg(8, UInt8.self) & 63)
                let x = c.reg(o.pointee.a, UInt64.self)
                c.setReg(o.pointee.a, count == 0 ? x : shl(c, x, count))
            case .shr_ri32: c.setReg(o.pointee.a, shr(c, c.reg(o.pointee.a, UInt32.self), immediate(o, UInt32.self)))
            case .shr_ri64: c.setReg(o.pointee.a, shr(c, c.reg(o.pointee.a, UInt64.self), immediate(o, UInt64.self)))
            case .shr_rc32:
                let count = UInt32(c.reg(8, UInt8.self) & 31)
                let x = c.reg(o.pointee.a, UInt32.self)
                c.setReg(o.pointee.a, count == 0 ? x : shr(c, x, count))
            case .shr_rc64:
                let count = UInt64(c.reg(8, UInt8.self) & 63)
                let x = c.reg(o.pointee.a, UInt64.self)
                c.setReg(o.pointee.a, count == 0 ? x : shr(c, x, count))
            case .sar_ri32: c.setReg(o.pointee.a, sar(c, c.reg(o.pointee.a, UInt32.self), immediate(o, UInt32.self)))
            case .sar_ri64: c.setReg(o.pointee.a, sar(c, c.reg(o.pointee.a, UInt64.self), immediate(o, UInt64.self)))
            case .sar_rc32:
                let count = UInt32(c.reg(8, UInt8.self) & 31)
                let x = c.reg(o.pointee.a, UInt32.self)
                c.setReg(o.pointee.a, count == 0 ? x : sar(c, x, count))
            case .sar_rc64:
                let count = UInt64(c.reg(8, UInt8.self) & 63)
                let x = c.reg(o.pointee.a, UInt64.self)
                c.setReg(o.pointee.a, count == 0 ? x : sar(c, x, count))
            case .shift_ri8: shiftRegister(c, o, UInt8(truncatingIfNeeded: o.pointee.imm), UInt8.self)
            case .shift_rc8: shiftRegister(c, o, c.reg(8, UInt8.self), UInt8.self)
            case .shift_mi8: try shiftMemory(c, o, UInt8(truncatingIfNeeded: o.pointee.imm), UInt8.self)
            case .shift_mc8: try shiftMemory(c, o, c.reg(8, UInt8.self), UInt8.self)
            case .shift_ri16: shiftRegister(c, o, UInt8(truncatingIfNeeded: o.pointee.imm), UInt16.self)
            case .shift_rc16: shiftRegister(c, o, c.reg(8, UInt8.self), UInt16.self)
            case .shift_mi16: try shiftMemory(c, o, UInt8(truncatingIfNeeded: o.pointee.imm), UInt16.self)
            case .shift_mc16: try shiftMemory(c, o, c.reg(8, UInt8.self), UInt16.self)
            case .shift_ri32: shiftRegister(c, o, UInt8(truncatingIfNeeded: o.pointee.imm), UInt32.self)
            case .shift_ri64: shiftRegister(c, o, UInt8(truncatingIfNeeded: o.pointee.imm), UInt64.self)
            case .shift_rc32: shiftRegister(c, o, c.reg(8, UInt8.self), UInt32.self)
            case .shift_rc64: shiftRegister(c, o, c.reg(8, UInt8.self), UInt64.self)
            case .shift_mi32: try shiftMemory(c, o, UInt8(truncatingIfNeeded: o.pointee.imm), UInt32.self)
            case .shift_mi64: try shiftMemory(c, o, UInt8(truncatingIfNeeded: o.pointee.imm), UInt64.self)
            case .shift_mc32: try shiftMemory(c, o, c.reg(8, UInt8.self), UInt32.self)
            case .shift_mc64: try shiftMemory(c, o, c.reg(8, UInt8.self), UInt64.self)
            case .imul_rr32: c.setReg(o.pointee.a, multiply(c, c.reg(o.pointee.a, UInt32.self), c.reg(o.pointee.b, UInt32.self)))
            case .imul_rr64: c.setReg(o.pointee.a, multiply(c, c.reg(o.pointee.a, UInt64.self), c.reg(o.pointee.b, UInt64.self)))
            case .imul_rm32: c.setReg(o.pointee.a, multiply(c, c.reg(o.pointee.a, UInt32.self), try c.load(address(c, o, W.self), UInt32.self)))
            case .imul_rm64: c.setReg(o.pointee.a, multiply(c, c.reg(o.pointee.a, UInt64.self), try c.load(address(c, o, W.self), UInt64.self)))
            case .imul_rri32: c.setReg(o.pointee.a, multiply(c, c.reg(o.pointee.b, UInt32.self), immediate(o, UInt32.self)))
            case .imul_rri64: c.setReg(o.pointee.a, multiply(c, c.reg(o.pointee.b, UInt64.self), immediate(o, UInt64.self)))
            case .imul_rmi32: c.setReg(o.pointee.a, multiply(c, try c.load(address(c, o, W.self), UInt32.self), immediate(o, UInt32.self)))
            case .imul_rmi64: c.setReg(o.pointee.a, multiply(c, try c.load(address(c, o, W.self), UInt64.self), immediate(o, UInt64.self)))
            case .mul_r32: mul(c, c.reg(o.pointee.b, UInt32.self))
            case .mul_r64: mul(c, c.reg(o.pointee.b, UInt64.self))
            case .mul_m32: mul(c, try c.load(address(c, o, W.self), UInt32.self))
            case .mul_m64: mul(c, try c.load(address(c, o, W.self), UInt64.self))
            case .imul_r32: imul(c, c.reg(o.pointee.b, UInt32.self))
            case .imul_r64: imul(c, c.reg(o.pointee.b, UInt64.self))
            case .imul_m32: imul(c, try c.load(address(c, o, W.self), UInt32.self))
            case .imul_m64: imul(c, try c.load(address(c, o, W.self), UInt64.self))
            case .div_r32: try div(c, c.reg(o.pointee.b, UInt32.self))
            case .div_r64: try div(c, c.reg(o.pointee.b, UInt64.self))
            case .div_m32: try div(c, try c.load(address(c, o, W.self), UInt32.self))
            case .div_m64: try div(c, try c.load(address(c, o, W.self), UInt64.self))
            case .idiv_r32: try idiv(c, c.reg(o.pointee.b, UInt32.self))
            case .idiv_r64: try idiv(c, c.reg(o.pointee.b, UInt64.self))
            case .idiv_m32: try idiv(c, try c.load(address(c, o, W.self), UInt32.self))
            case .idiv_m64: try idiv(c, try c.load(address(c, o, W.self), UInt64.self))
            case .nop: break
            case .cbw: c.ax = UInt16(truncatingIfNeeded: Int8(bitPattern: c.al))
            case .cwde: c.eax = UInt32(truncatingIfNeeded: Int16(bitPattern: c.ax))
            case .cwd: c.setReg(16, UInt16(truncatingIfNeeded: Int16(bitPattern: c.ax) &>> 15))
            case .cdqe: c.setReg(0, c.signExtended(c.eax))
            case .cqo: c.setReg(16, UInt64(bitPattern: Int64(bitPattern: c.reg(0, UInt64.self)) &>> 63))
            case .cdq: c.setReg(16, UInt32(bitPattern: Int32(bitPattern: c.eax) &>> 31))
            case .clc: c.setCarry(false)
            case .stc: c.setCarry(true)
            case .cmc: c.setCarry(!c.cf)
            case .cld: c.v.pointee.systemFlags &= ~EFlags.df
            case .std: c.v.pointee.systemFlags |= EFlags.df
            case .set_r: c.setReg(o.pointee.a, c.condition(Int(o.pointee.sub)) ? 1 as UInt8 : 0)
            case .set_m: try c.store(address(c, o, W.self), c.condition(Int(o.pointee.sub)) ? 1 as UInt8 : 0)
            case .cmov_rr32: c.setReg(o.pointee.a, c.condition(Int(o.pointee.sub)) ? c.reg(o.pointee.b, UInt32.self) : c.reg(o.pointee.a, UInt32.self))
            case .cmov_rr64: c.setReg(o.pointee.a, c.condition(Int(o.pointee.sub)) ? c.reg(o.pointee.b, UInt64.self) : c.reg(o.pointee.a, UInt64.self))
            case .cmov_rm32:
                let value = try c.load(address(c, o, W.self), UInt32.self)
                c.setReg(o.pointee.a, c.condition(Int(o.pointee.sub)) ? value : c.reg(o.pointee.a, UInt32.self))
            case .cmov_rm64:
                let value = try c.load(address(c, o, W.self), UInt64.self)
                c.setReg(o.pointee.a, c.condition(Int(o.pointee.sub)) ? value : c.reg(o.pointee.a, UInt64.self))
            case .bt_rr32: c.setCarry((c.reg(o.pointee.a, UInt32.self) &>> c.reg(o.pointee.b, UInt32.self)) & 1 != 0)
            case .bt_rr64: c.setCarry((c.reg(o.pointee.a, UInt64.self) &>> c.reg(o.pointee.b, UInt64.self)) & 1 != 0)
            case .bt_ri32: c.setCarry((c.reg(o.pointee.a, UInt32.self) &>> immediate(o, UInt32.self)) & 1 != 0)
            case .bt_ri64: c.setCarry((c.reg(o.pointee.a, UInt64.self) &>> immediate(o, UInt64.self)) & 1 != 0)
            case .jo: if c.of { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .jno: if !c.of { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .jb: if c.cf { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .jae: if !c.cf { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .jz: if c.zf { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .jnz: if !c.zf { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .jbe: if c.cf || c.zf { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .ja: if !(c.cf || c.zf) { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .js: if c.sf { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .jns: if !c.sf { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .jp: if c.pf { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .jnp: if !c.pf { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .jl: if c.sf != c.of { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .jge: if c.sf == c.of { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .jle: if c.zf || c.sf != c.of { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .jg: if !c.zf && c.sf == c.of { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .jmp, .next:
                if take(c, &block, &o, o.pointee.kind == .jmp ? 1 : 0) { continue }
                return nil
            case .call_f:
                try pushFlat(c, W(truncatingIfNeeded: block.pointee.rip &+ UInt64(o.pointee.ipOffset) &+ UInt64(o.pointee.length)))
                if take(c, &block, &o, 1) { continue }
                return nil
            case .call16:
                try c.push(UInt16(truncatingIfNeeded: block.pointee.rip &+ UInt64(o.pointee.ipOffset) &+ UInt64(o.pointee.length)))
                if take(c, &block, &o, 1) { continue }
                return nil
            case .call32:
                try c.push(UInt32(truncatingIfNeeded: block.pointee.rip &+ UInt64(o.pointee.ipOffset) &+ UInt64(o.pointee.length)))
                if take(c, &block, &o, 1) { continue }
                return nil
            case .ret_f:
                let target = try c.load(UInt64(c.reg(32, W.self)), W.self)
                c.setReg(32, c.reg(32, W.self) &+ W(W.bitWidth / 8))
                if jump(c, UInt64(target), &block, &o) { continue }
                return nil
            case .ret16:
                let target = try c.pop(UInt16.self)
                if jump(c, UInt64(target), &block, &o) { continue }
                return nil
            case .ret32:
                let target = try c.pop(UInt32.self)
                if jump(c, UInt64(target), &block, &o) { continue }
                return nil
            case .jmp_rw:
                if jump(c, UInt64(c.reg(o.pointee.a, W.self)), &block, &o) { continue }
                return nil
            case .jmp_mw:
                let target = try c.load(address(c, o, W.self), W.self)
                if jump(c, UInt64(target), &block, &o) { continue }
                return nil
            case .call_rf:
                let target = c.reg(o.pointee.a, W.self)
                try pushFlat(c, W(truncatingIfNeeded: block.pointee.rip &+ UInt64(o.pointee.ipOffset) &+ UInt64(o.pointee.length)))
                if jump(c, UInt64(target), &block, &o) { continue }
                return nil
            case .call_mf:
                let target = try c.load(address(c, o, W.self), W.self)
                try pushFlat(c, W(truncatingIfNeeded: block.pointee.rip &+ UInt64(o.pointee.ipOffset) &+ UInt64(o.pointee.length)))
                if jump(c, UInt64(target), &block, &o) { continue }
                return nil
            case .loop16:
                let count = c.reg(8, UInt16.self) &- 1
                c.setReg(8, count)
                if count != 0 { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .loop_w:
                let count = c.reg(8, W.self) &- 1
                c.setReg(8, count)
                if count != 0 { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .loopc16:
                let count = c.reg(8, UInt16.self) &- 1
                c.setReg(8, count)
                if count != 0 && c.zf == (o.pointee.sub != 0) { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .loopc_w:
                let count = c.reg(8, W.self) &- 1
                c.setReg(8, count)
                if count != 0 && c.zf == (o.pointee.sub != 0) { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .jcxz16: if c.reg(8, UInt16.self) == 0 { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .jcxz_w: if c.reg(8, W.self) == 0 { if take(c, &block, &o, 1) { continue } else { return nil } }
            case .cmp_rr32_jz:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), c.reg(o.pointee.b, UInt32.self))
                _ = c.sub(x, y)
                if x == y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr64_jz:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), c.reg(o.pointee.b, UInt64.self))
                _ = c.sub(x, y)
                if x == y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr32_jnz:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), c.reg(o.pointee.b, UInt32.self))
                _ = c.sub(x, y)
                if x != y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr64_jnz:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), c.reg(o.pointee.b, UInt64.self))
                _ = c.sub(x, y)
                if x != y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr32_jb:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), c.reg(o.pointee.b, UInt32.self))
                _ = c.sub(x, y)
                if x < y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr64_jb:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), c.reg(o.pointee.b, UInt64.self))
                _ = c.sub(x, y)
                if x < y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr32_jae:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), c.reg(o.pointee.b, UInt32.self))
                _ = c.sub(x, y)
                if x >= y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr64_jae:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), c.reg(o.pointee.b, UInt64.self))
                _ = c.sub(x, y)
                if x >= y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr32_jbe:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), c.reg(o.pointee.b, UInt32.self))
                _ = c.sub(x, y)
                if x <= y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr64_jbe:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), c.reg(o.pointee.b, UInt64.self))
                _ = c.sub(x, y)
                if x <= y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr32_ja:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), c.reg(o.pointee.b, UInt32.self))
                _ = c.sub(x, y)
                if x > y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr64_ja:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), c.reg(o.pointee.b, UInt64.self))
                _ = c.sub(x, y)
                if x > y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr32_jl:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), c.reg(o.pointee.b, UInt32.self))
                _ = c.sub(x, y)
                if less(x, y) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr64_jl:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), c.reg(o.pointee.b, UInt64.self))
                _ = c.sub(x, y)
                if less(x, y) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr32_jge:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), c.reg(o.pointee.b, UInt32.self))
                _ = c.sub(x, y)
                if !less(x, y) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr64_jge:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), c.reg(o.pointee.b, UInt64.self))
                _ = c.sub(x, y)
                if !less(x, y) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr32_jle:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), c.reg(o.pointee.b, UInt32.self))
                _ = c.sub(x, y)
                if !less(y, x) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr64_jle:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), c.reg(o.pointee.b, UInt64.self))
                _ = c.sub(x, y)
                if !less(y, x) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr32_jg:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), c.reg(o.pointee.b, UInt32.self))
                _ = c.sub(x, y)
                if less(y, x) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_rr64_jg:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), c.reg(o.pointee.b, UInt64.self))
                _ = c.sub(x, y)
                if less(y, x) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri32_jz:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), immediate(o, UInt32.self))
                _ = c.sub(x, y)
                if x == y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri64_jz:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), immediate(o, UInt64.self))
                _ = c.sub(x, y)
                if x == y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri32_jnz:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), immediate(o, UInt32.self))
                _ = c.sub(x, y)
                if x != y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri64_jnz:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), immediate(o, UInt64.self))
                _ = c.sub(x, y)
                if x != y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri32_jb:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), immediate(o, UInt32.self))
                _ = c.sub(x, y)
                if x < y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri64_jb:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), immediate(o, UInt64.self))
                _ = c.sub(x, y)
                if x < y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri32_jae:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), immediate(o, UInt32.self))
                _ = c.sub(x, y)
                if x >= y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri64_jae:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), immediate(o, UInt64.self))
                _ = c.sub(x, y)
                if x >= y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri32_jbe:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), immediate(o, UInt32.self))
                _ = c.sub(x, y)
                if x <= y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri64_jbe:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), immediate(o, UInt64.self))
                _ = c.sub(x, y)
                if x <= y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri32_ja:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), immediate(o, UInt32.self))
                _ = c.sub(x, y)
                if x > y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri64_ja:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), immediate(o, UInt64.self))
                _ = c.sub(x, y)
                if x > y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri32_jl:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), immediate(o, UInt32.self))
                _ = c.sub(x, y)
                if less(x, y) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri64_jl:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), immediate(o, UInt64.self))
                _ = c.sub(x, y)
                if less(x, y) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri32_jge:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), immediate(o, UInt32.self))
                _ = c.sub(x, y)
                if !less(x, y) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri64_jge:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), immediate(o, UInt64.self))
                _ = c.sub(x, y)
                if !less(x, y) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri32_jle:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), immediate(o, UInt32.self))
                _ = c.sub(x, y)
                if !less(y, x) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri64_jle:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), immediate(o, UInt64.self))
                _ = c.sub(x, y)
                if !less(y, x) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri32_jg:
                let (x, y) = (c.reg(o.pointee.a, UInt32.self), immediate(o, UInt32.self))
                _ = c.sub(x, y)
                if less(y, x) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri64_jg:
                let (x, y) = (c.reg(o.pointee.a, UInt64.self), immediate(o, UInt64.self))
                _ = c.sub(x, y)
                if less(y, x) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri8_jz:
                let (x, y) = (c.reg(o.pointee.a, UInt8.self), immediate(o, UInt8.self))
                _ = c.sub(x, y)
                if x == y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri8_jnz:
                let (x, y) = (c.reg(o.pointee.a, UInt8.self), immediate(o, UInt8.self))
                _ = c.sub(x, y)
                if x != y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri8_jb:
                let (x, y) = (c.reg(o.pointee.a, UInt8.self), immediate(o, UInt8.self))
                _ = c.sub(x, y)
                if x < y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri8_jae:
                let (x, y) = (c.reg(o.pointee.a, UInt8.self), immediate(o, UInt8.self))
                _ = c.sub(x, y)
                if x >= y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri8_jbe:
                let (x, y) = (c.reg(o.pointee.a, UInt8.self), immediate(o, UInt8.self))
                _ = c.sub(x, y)
                if x <= y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri8_ja:
                let (x, y) = (c.reg(o.pointee.a, UInt8.self), immediate(o, UInt8.self))
                _ = c.sub(x, y)
                if x > y { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri8_jl:
                let (x, y) = (c.reg(o.pointee.a, UInt8.self), immediate(o, UInt8.self))
                _ = c.sub(x, y)
                if less(x, y) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri8_jge:
                let (x, y) = (c.reg(o.pointee.a, UInt8.self), immediate(o, UInt8.self))
                _ = c.sub(x, y)
                if !less(x, y) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri8_jle:
                let (x, y) = (c.reg(o.pointee.a, UInt8.self), immediate(o, UInt8.self))
                _ = c.sub(x, y)
                if !less(y, x) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .cmp_ri8_jg:
                let (x, y) = (c.reg(o.pointee.a, UInt8.self), immediate(o, UInt8.self))
                _ = c.sub(x, y)
                if less(y, x) { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .test_rr32_jz:
                let x = c.reg(o.pointee.a, UInt32.self) & c.reg(o.pointee.b, UInt32.self)
                c.setLogicFlags(x)
                if x == 0 { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .test_rr64_jz:
                let x = c.reg(o.pointee.a, UInt64.self) & c.reg(o.pointee.b, UInt64.self)
                c.setLogicFlags(x)
                if x == 0 { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .test_rr32_jnz:
                let x = c.reg(o.pointee.a, UInt32.self) & c.reg(o.pointee.b, UInt32.self)
                c.setLogicFlags(x)
                if x != 0 { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .test_rr64_jnz:
                let x = c.reg(o.pointee.a, UInt64.self) & c.reg(o.pointee.b, UInt64.self)
                c.setLogicFlags(x)
                if x != 0 { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .test_rr32_js:
                let x = c.reg(o.pointee.a, UInt32.self) & c.reg(o.pointee.b, UInt32.self)
                c.setLogicFlags(x)
                if Int32(bitPattern: x) < 0 { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .test_rr64_js:
                let x = c.reg(o.pointee.a, UInt64.self) & c.reg(o.pointee.b, UInt64.self)
                c.setLogicFlags(x)
                if Int64(bitPattern: x) < 0 { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .test_rr32_jns:
                let x = c.reg(o.pointee.a, UInt32.self) & c.reg(o.pointee.b, UInt32.self)
                c.setLogicFlags(x)
                if Int32(bitPattern: x) >= 0 { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .test_rr64_jns:
                let x = c.reg(o.pointee.a, UInt64.self) & c.reg(o.pointee.b, UInt64.self)
                c.setLogicFlags(x)
                if Int64(bitPattern: x) >= 0 { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .test_rr8_jz:
                let x = c.reg(o.pointee.a, UInt8.self) & c.reg(o.pointee.b, UInt8.self)
                c.setLogicFlags(x)
                if x == 0 { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .test_rr8_jnz:
                let x = c.reg(o.pointee.a, UInt8.self) & c.reg(o.pointee.b, UInt8.self)
                c.setLogicFlags(x)
                if x != 0 { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .dec_r32_jnz:
                let x = c.dec(c.reg(o.pointee.a, UInt32.self))
                c.setReg(o.pointee.a, x)
                if x != 0 { if take(c, &block, &o, 2) { continue } else { return nil } }
            case .dec_r64_jnz:
                let x = c.dec(c.reg(o.pointee.a, UInt64.self))
                c.setReg(o.pointee.a, x)
                if x != 0 { if take(c, &block, &o, 2) { continue } else { return nil } }
            }
            o += 1
        }
    } catch {
        c.rip = c.t.pointee.taskSwitched ? c.t.pointee.instructionRIP : block.pointee.rip &+ UInt64(o.pointee.ipOffset)
        c.t.pointee.taskSwitched = false
        c.t.pointee.instructionRIP = c.rip
        c.t.pointee.budget &-= Int64(o.pointee.n)
        c.t.pointee.exact = false
        if error == .nonCanonical { return usesStack(o) ? .stackFault : .generalProtection }
        return error
    }
}

// MARK: Shapes

/// Linear address of a memory operand in a flat segment, or the one that `segAddr` left.
@inline(__always)
private func address<W: NativeWord>(_ c: Core, _ o: OpPointer, _: W.Type) -> UInt64 {
    if W.bitWidth == 64 {
        return c.reg(o.pointee.base, UInt64.self) &+ (c.reg(o.pointee.index, UInt64.self) &<< UInt64(o.pointee.scale))
            &+ UInt64(bitPattern: Int64(o.pointee.disp))
    }
    // 32 bits wrap by themselves.
    return UInt64(
        c.reg(o.pointee.base, UInt32.self) &+ (c.reg(o.pointee.index, UInt32.self) &<< UInt32(o.pointee.scale)) &+ UInt32(bitPattern: o.pointee.disp))
}

@inline(__always)
private func immediate<T: FixedWidthInteger & UnsignedInteger>(_ o: OpPointer, _: T.Type) -> T { T(truncatingIfNeeded: o.pointee.imm) }

/// The eight operations in opcode order. The argument is a constant at each call, so that one arm remains.
private enum ALU { case add, or, adc, sbb, and, sub, xor, cmp }

@inline(__always)
private func alu<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ operation: ALU, _ x: T, _ y: T) -> T {
    switch operation {
    case .add: c.add(x, y)
    case .or: c.or(x, y)
    case .adc: c.adc(x, y)
    case .sbb: c.sbb(x, y)
    case .and: c.and(x, y)
    case .sub, .cmp: c.sub(x, y)
    case .xor: c.xor(x, y)
    }
}

@inline(__always)
private func rr<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ o: OpPointer, _ operation: ALU, _: T.Type) {
    let r = alu(c, operation, c.reg(o.pointee.a, T.self), c.reg(o.pointee.b, T.self))
    if operation != .cmp { c.setReg(o.pointee.a, r) }
}

@inline(__always)
private func rm<T: FixedWidthInteger & UnsignedInteger, W: NativeWord>(
    _ c: Core, _ o: OpPointer, _ operation: ALU, _: T.Type, _: W.Type
) throws(Fault) {
    let y = try c.load(address(c, o, W.self), T.self)
    let r = alu(c, operation, c.reg(o.pointee.a, T.self), y)
    if operation != .cmp { c.setReg(o.pointee.a, r) }
}

@inline(__always)
private func mr<T: FixedWidthInteger & UnsignedInteger, W: NativeWord>(
    _ c: Core, _ o: OpPointer, _ operation: ALU, _: T.Type, _: W.Type
) throws(Fault) {
    let y = c.reg(o.pointee.a, T.self)
    if operation == .cmp {
        _ = alu(c, operation, try c.load(address(c, o, W.self), T.self), y)
    } else {
        try c.modify(address(c, o, W.self), T.self) { alu(c, operation, $0, y) }
    }
}

@inline(__always)
private func ri<T: FixedWidthInteger & UnsignedInteger>(_ c: Core, _ o: OpPointer, _ operation: ALU, _: T.Type) {
    let r = alu(c, operation, c.reg(o.pointee.a, T.self), immediate(o, T.self))
    if operation != .cmp { c.setReg(o.pointee.a, r) }
}

@inline(__always)
private func mi<T: FixedWidthInteger & UnsignedInteger, W: NativeWord>(
    _ c: Core, _ o: OpPointer, _ operation: ALU, _: T.Type, _: W.Type
) throws(Fault) {
    if operation == .cmp {
        _ = alu(c, operation, try c.load(address(c, o, W.self), T.self), immediate(o, T.self))
    } else {
        try c.modify(address(c, o, W.self), T.self) { alu(c, operation, $0, immediate(o, T.self)) }
    }
}

@inline(__always)
private func less(_ x: UInt32, _ y: UInt32) -> Bool { Int32(bitPattern: x) < Int32(bitPattern: y) }
@inline(__always)
private func less(_ x: UInt64, _ y: UInt64) -> Bool { Int64(bitPattern: x) < Int64(bitPattern: y) }
@inline(__always)
private func less(_ x: UInt8, _ y: UInt8) -> Bool { Int8(bitPattern: x) < Int8(bitPattern: y) }

@inline(__always)
private func arithmeticRight(_ x: UInt64, _ count: UInt64) -> UInt64 { UInt64(bitPattern: Int64(bitPattern: x) &>> Int64(truncatingIfNeeded: count)) }
@inline(__always)
private func arithmeticRight(_ x: UInt32, _ count: UInt32) -> UInt32 { UInt32(bitPattern: Int32(bitPattern: x) &>> Int32(truncatingIfNeeded: count)) }

/// The access of this operation goes through SS: a non-canonical address is #SS(0) there, #GP(0) elsewhere.
func usesStack(_ o: OpPointer) -> Bool {
    switch o.pointee.kind {
    case .push_rf, .push_if, .pop_rf, .leave_f, .call_f, .ret_f, .call_rf, .push_r16, .push_i16, .pop_r16, .call16, .ret16: true
    default: o.pointee.seg == 2
    }
}

/// Push of a native word through a flat stack; the pointer moves after the store.
@inline(__always)
private func pushFlat<W: NativeWord>(_ c: Core, _ value: W) throws(Fault) {
    let sp = c.reg(32, W.self) &- W(W.bitWidth / 8)
    try c.store(UInt64(sp), value)
    c.setReg(32, sp)
}

// MARK: Control flow

/// A taken near branch with a known target. True: `block` and `o` are there. False: the dispatcher goes on at `c.rip`.
///
/// Only inlined functions may take `block` and `o` inout: with their address known elsewhere they would live in memory, on the
/// critical path of every dispatch.
@inline(__always)
private func take(_ c: Core, _ block: inout BlockPointer, _ o: inout OpPointer, _ count: Int64) -> Bool {
    c.t.pointee.budget &-= Int64(o.pointee.n) &+ count
    if let next = BlockPointer(bitPattern: UInt(truncatingIfNeeded: o.pointee.wide)), c.t.pointee.budget >= next.pointee.cost {
        block = next
        o = next.ops
        return true
    }
    guard let next = takeSlow(c, block, o) else { return false }
    block = next
    o = next.ops
    return true
}

@inline(never)
private func takeSlow(_ c: Core, _ block: BlockPointer, _ o: OpPointer) -> BlockPointer? {
    let here = block.pointee
    let sequential = here.rip &+ UInt64(bitPattern: Int64(o.pointee.disp))
    let target = sequential & (o.pointee.kind == .next ? here.nextMask : here.ripMask)
    c.rip = target
    // Running off 64 KiB of 16-bit code does not wrap: the dispatcher checks the limit.
    guard !here.isSingle, c.t.pointee.budget > 0, target <= here.ripMask else { return nil }
    // Same page, same translation: the target's place is known without a look-up.
    let delta = Int(truncatingIfNeeded: Int64(bitPattern: target &- here.rip))
    let place = here.storage &+ delta
    if here.storage >= 0 && (place ^ here.storage) & ~0xFFF == 0 && abs(delta) < 4096 && !here.crossesPage {
        // Not linked: the dispatcher counts it, or enters its translation. What is soon rewritten again is left to the interpreter for longer.
        if c.t.pointee.translating && here.patience == 0 {
            guard let writes = c.t.pointee.deferring, writes[place >> 12] >= BlockCache.restlessWrites else { return nil }
        }
        guard let next = c.t.pointee.processor.blocks.find(c, storage: place, rip: target, mode: here.mode) else { return nil }
        if next.pointee.code[c.isUserClass] != 0 { return nil }
        UnsafeMutablePointer(mutating: o).pointee.wide = UInt64(UInt(bitPattern: next))
        return c.t.pointee.budget >= next.pointee.cost ? next : nil
    }
    return jumpCached(c, target, block)
}

/// A near branch to a computed target.
@inline(__always)
private func jump(_ c: Core, _ target: UInt64, _ block: inout BlockPointer, _ o: inout OpPointer) -> Bool {
    c.t.pointee.budget &-= Int64(o.pointee.n) &+ 1
    c.rip = target
    guard let next = jumpCached(c, target, block) else { return false }
    block = next
    o = next.ops
    return true
}

@inline(__always)
private func jumpCached(_ c: Core, _ target: UInt64, _ block: BlockPointer) -> BlockPointer? {
    let linear = (c.v.pointee.seg[unchecked: Seg.cs].base &+ target) & c.t.pointee.addressMask
    let entry = c.t.pointee.jumpCache + JumpEntry.index(linear)
    let generation = entry.pointee.key ^ (target & 0xFFFF_FFFF)
    guard entry.pointee.linear == linear, generation == c.t.pointee.globalGeneration || generation == c.t.pointee.modeGeneration,
        let next = entry.pointee.block, c.t.pointee.budget >= next.pointee.cost, !block.pointee.isSingle
    else { return nil }
    // Else the dispatcher counts it, or enters its translation.
    return !c.t.pointee.translating || (next.pointee.patience != 0 && next.pointee.code[c.isUserClass] == 0) ? next : nil
}

// MARK: Slow handlers

@inline(__always)
func enterSlow(_ c: Core, _ block: BlockPointer, _ o: OpPointer) {
    let start = block.pointee.rip &+ UInt64(o.pointee.ipOffset)
    c.giveX87Back(before: o)
    c.t.pointee.instructionRIP = start
    c.rip = (start &+ UInt64(o.pointee.length)) & block.pointee.nextMask
    c.t.pointee.blockProgress = Int64(o.pointee.n)
    c.t.pointee.exact = true
}

@inline(never)
private func slow(_ c: Core, _ block: BlockPointer, _ o: OpPointer) throws(Fault) {
    enterSlow(c, block, o)
    try executeSlow(c, o)
    c.t.pointee.exact = false
}
