/// What else is not compared, and why.
enum StateRules {
    static let texts = [
        "accesses across 4 GiB in a flat segment: #SS or #GP, or not, \"implementation-specific\" (SDM Vol. 3A, \"Limit Checking\")",
        "RPL of a null selector in DS or ES: IRET of any interrupt to ring 3 clears it (SDM Vol. 2A, IRET, RETURN-TO-OUTER-PRIVILEGE-LEVEL)",
        "bit 4 of a page fault's error code: the host has NX, the Pentium Pro does not",
        "CR2 of FNSTENV, FLDENV, FNSAVE and FRSTOR: the page only, their order of accesses is the maker's",
        "ARPL: no faulting operands; LOCK VERR and LOCK VERW: not generated (AMD's processors write only changes, and take the prefix)",
        "CMPS and MOVS with both operands unmapped: not generated; which of the two faults first is the maker's",
        "POPA that faults in the middle: not generated; AMD's processors have loaded some registers then",
        "RF: pushed by faults only; the exit of a test is none on the host",
    ]

    /// Ours reports the page fault where the host may report the segment's limit.
    static func wraps(_ real: MachineState, _ ours: MachineState) -> Bool {
        guard real.vector == 12 || real.vector == 13, real.errorCode == 0, real.eip == ours.eip else { return false }
        let address = ours.vector == 14 ? ours.cr2 : ours.vector == 17 ? ours.gpr[4] : 0x8000_0000
        return address >= 0xFFFF_FF00 || address < 0x100
    }

    static func equal(_ a: UInt16, _ b: UInt16) -> Bool { a == b || (a | b) & ~3 == 0 }
}
