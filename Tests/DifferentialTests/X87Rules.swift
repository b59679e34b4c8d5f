/// What of the x87's state is not compared, and why.
enum X87Rules {
    static let texts = [
        "FCS and FDS: deprecated (SDM Vol. 1, \"x87 FPU Instruction and Operand (Data) Pointers\"); Linux saves the 64-bit form, which drops them",
        "FIP, FOP and FDP after an exception: Linux saves and restores the x87, and AMD's XRSTOR keeps them only while ES is set",
        "C3 C2 C0 of a comparison that raises an unmasked #IA: left alone by Intel's (SDM Vol. 2A, FCOM), set by AMD's; the same with FCOMI's EFLAGS",
    ]

    /// Bytes of an FNSTENV or FNSAVE image in memory, as places in the data.
    static func notCompared(imageAt place: Int, wide: Bool) -> [Range<Int>] {
        wide ? [place + 16..<place + 18, place + 24..<place + 26] : [place + 8..<place + 10, place + 12..<place + 14]
    }

    /// Masks of the seven environment words. `afterSignal`: Linux saved and restored the x87. `codes`: C3, C2 and C0 are defined.
    static func masks(afterSignal: Bool, codes: Bool) -> InlineArray<7, UInt32> {
        [0xFFFF, codes ? 0xFFFF : 0xBAFF, 0xFFFF, afterSignal ? 0 : 0xFFFF_FFFF, afterSignal ? 0 : 0x07FF_0000, afterSignal ? 0 : 0xFFFF_FFFF, 0]
    }

    /// FCOM FCOMP FCOMPP FUCOM FUCOMP FUCOMPP FICOM FICOMP FTST: they write C3, C2 and C0.
    static func compares(_ opcode: UInt8, _ modrm: UInt8) -> Bool {
        let reg = modrm >> 3 & 7
        if modrm < 0xC0 { return [0xD8, 0xDA, 0xDC, 0xDE].contains(opcode) && reg & 6 == 2 }
        switch opcode {
        case 0xD8, 0xDC: return reg & 6 == 2
        case 0xD9: return modrm == 0xE4
        case 0xDA: return modrm == 0xE9
        case 0xDD: return reg & 6 == 4
        case 0xDE: return reg == 2 || modrm == 0xD9
        default: return false
        }
    }
}
