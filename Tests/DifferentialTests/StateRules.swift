/// What else is not compared, and why.
enum StateRules {
    static let texts = [
        "accesses across 4 GiB in a flat segment: #SS or #GP, or not, \"implementation-specific\" (SDM Vol. 3A, \"Limit Checking\")",
        "RPL of a null selector in DS or ES: IRET of any interrupt to ring 3 clears it (SDM Vol. 2A, IRET, to outer level)",
        "bit 4 of a page fault's error code: the host has NX, the Pentium Pro does not",
        "CR2 of FNSTENV, FLDENV, FNSAVE and FRSTOR: the page only, their order of accesses is the maker's",
        "ARPL: no faulting operands; LOCK with VERR, VERW and MOV CR: not generated (AMD's write only changes, and take the prefix)",
        "CMPS and MOVS with two operands that fault: not generated; which of the two comes first is the maker's",
        "REP MOVS with overlapping operands: only with 32-bit addresses in one window; others a Zen 4 copies as if they lay apart",
        "PUSHA, POPA and RETF that fault in the middle: not generated; AMD's processors have done a part of them then",
        "IRET with NT set: not generated; the host is in long mode, where it raises #GP(0) instead of a task switch",
        "RF: pushed by faults only; the exit of a test is none on the host",
    ]

    /// Ours reports the page fault where the host may report the segment's limit.
    static func wraps(_ real: MachineState, _ ours: MachineState) -> Bool {
        guard real.vector == 12 || real.vector == 13, real.errorCode == 0, real.eip == ours.eip else { return false }
        // With alignment checks the address is not told: it is the stack's, or the frame's of LEAVE.
        let addresses = ours.vector == 14 ? [ours.cr2] : ours.vector == 17 ? [ours.gpr[4], ours.gpr[5]] : []
        return addresses.contains { $0 >= 0xFFFF_FF00 || $0 < 0x100 }
    }

    static func equal(_ a: UInt16, _ b: UInt16) -> Bool { a == b || (a | b) & ~3 == 0 }
}
