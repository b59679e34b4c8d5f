import Testing

@testable import CPU

/// Machine code through the whole engine: what the handlers and the dispatcher must agree on. HLT ends each program; handlers
/// lie at 0x8_0000 + vector * 0x100.
@Suite("cpu · events in the running engine") struct ProtectedEngineTests {
    static let start: UInt64 = 0x1_0000
    static func handler(_ vector: Int) -> UInt64 { 0x8_0000 + UInt64(vector) * 0x100 }

    /// A bench with interrupt gates to HLTs for `vectors`.
    static func bench(_ code: [UInt8], halting vectors: [Int] = [], ring: UInt8 = 0) -> Bench {
        let b = Bench()
        b.enter(ring: ring)
        b.code(start, code)
        for v in vectors {
            b.setVector(v, to: Sel.code0, UInt32(handler(v)), access: 0xEE)
            b.code(handler(v), [0xF4])
        }
        return b
    }

    /// Halted in the handler of `vector`.
    static func halted(_ b: Bench, in vector: Int) -> Bool { b.c.v.pointee.halted && b.c.rip == handler(vector) + 1 }

    /// PUSHFD; OR byte [ESP+1], 1; POPFD: sets TF. Eight bytes.
    static let setTF: [UInt8] = [0x9C, 0x80, 0x4C, 0x24, 0x01, 0x01, 0x9D]

    @Test("the trap comes after the instruction behind the one that set TF")
    func singleStep() {
        let b = Self.bench(Self.setTF + [0x90, 0x90, 0xF4], halting: [1])
        #expect(b.execute() == .halted)
        #expect(Self.halted(b, in: 1) && b.stack(3) == [0x1_0008, UInt32(Sel.code0), 0x102])
        #expect(b.c.v.pointee.dr[6] == 0xFFFF_4FF0 && b.c.eflags & EFlags.tf == 0)
    }

    @Test("a POPF that clears TF is still trapped")
    func lastTrap() {
        // TF set; PUSH 2; POPFD.
        let b = Self.bench(Self.setTF + [0x6A, 0x02, 0x9D, 0x90, 0xF4], halting: [])
        b.setVector(1, to: Sel.code0, UInt32(Self.handler(1)), access: 0x8E)
        // INC EDI; IRETD: counts traps.
        b.code(Self.handler(1), [0x47, 0xCF])
        b.c.setGPR(7, UInt32(0))
        #expect(b.execute() == .halted)
        #expect(b.c.rip == 0x1_000C && b.c.gpr(7, UInt32.self) == 2)
    }

    @Test("INT n under TF runs its handler untrapped, the IRET's successor is trapped")
    func softwareInterruptUnderTF() {
        let b = Self.bench(Self.setTF + [0xCD, 0x30, 0x90, 0xF4], halting: [1])
        b.setVector(0x30, to: Sel.code0, UInt32(Self.handler(0x30)), access: 0x8E)
        b.code(Self.handler(0x30), [0x47, 0xCF])
        b.c.setGPR(7, UInt32(0))
        #expect(b.execute() == .halted)
        #expect(Self.halted(b, in: 1) && b.stack(1) == [0x1_000A] && b.c.gpr(7, UInt32.self) == 1)
    }

    @Test("MOV SS keeps the trap back until the next instruction is done")
    func trapAfterMovSS() {
        // MOV SS, AX; NOP.
        let b = Self.bench(Self.setTF + [0x8E, 0xD0, 0x90, 0xF4], halting: [1])
        b.c.eax = UInt32(Sel.data0)
        #expect(b.execute() == .halted)
        #expect(Self.halted(b, in: 1) && b.stack(1) == [0x1_000A])
    }

    @Test("a REP instruction is trapped after each iteration")
    func trapInRep() {
        let b = Self.bench(Self.setTF + [0xF3, 0xAA, 0xF4], halting: [1])
        b.c.ecx = 3
        b.c.setGPR(7, UInt32(0x7000))
        #expect(b.execute() == .halted)
        #expect(b.stack(1) == [0x1_0007] && b.c.ecx == 2)
    }

    @Test("an instruction breakpoint faults before the instruction; RF lets it pass once")
    func breakpoint() {
        // INC EAX; INC EBX (watched); JMP to it.
        let b = Self.bench([0x40, 0x43, 0xEB, 0xFD, 0xF4])
        b.setVector(1, to: Sel.code0, UInt32(Self.handler(1)), access: 0x8E)
        // INC EDI; CMP EDI, 3; JE +6; OR byte [ESP+10], 1 (RF); IRETD; HLT.
        b.code(Self.handler(1), [0x47, 0x83, 0xFF, 0x03, 0x74, 0x06, 0x80, 0x4C, 0x24, 0x0A, 0x01, 0xCF, 0xF4])
        for n in [0, 3, 7] { b.c.setGPR(n, UInt32(0)) }
        b.c.v.pointee.dr[0] = 0x1_0001
        b.c.v.pointee.dr[7] = 0x402
        #expect(b.execute() == .halted)
        // Third hit: EBX was incremented twice. The pushed RF is clear: this fault does not set it.
        #expect(b.c.gpr(7, UInt32.self) == 3 && b.c.ebx == 2 && b.c.eax == 1)
        #expect(b.stack(3)[0] == 0x1_0001 && b.stack(3)[2] & EFlags.rf == 0 && b.c.v.pointee.dr[6] & 0xF == 1)
    }

    @Test("data breakpoints trap after the access, with the next instruction's address")
    func dataBreakpoint() {
        // MOV AL, [0x7003]; MOV [0x7003], AL; NOP.
        let b = Self.bench([0xA0, 3, 0x70, 0, 0, 0xA2, 3, 0x70, 0, 0, 0x90, 0xF4], halting: [1])
        b.c.v.pointee.dr[2] = 0x7000
        // DR2: write, four bytes.
        b.c.v.pointee.dr[7] = 0x400 | 1 << 5 | 0b1101 << 24
        #expect(b.execute() == .halted)
        #expect(Self.halted(b, in: 1) && b.stack(1) == [0x1_000A] && b.c.v.pointee.dr[6] & 0xF == 4)
    }

    @Test("I/O breakpoints trap after IN")
    func portBreakpoint() {
        let b = Self.bench([0xE4, 0x60, 0x90, 0xF4], halting: [1])
        b.c.v.pointee.dr[0] = 0x60
        b.c.v.pointee.dr[7] = 0x400 | 1 | 0b0010 << 16
        b.c.v.pointee.cr4 = CR4.de
        #expect(b.execute() == .halted)
        #expect(Self.halted(b, in: 1) && b.stack(1) == [0x1_0002])
    }

    @Test("STI and MOV SS delay INTR by one instruction", arguments: [[0xFB, 0x90, 0x90, 0xF4], [0xFB, 0x8E, 0xD0, 0x90, 0xF4]] as [[UInt8]])
    func shadows(code: [UInt8]) {
        let b = Self.bench(code, halting: [0x30])
        b.c.eax = UInt32(Sel.data0)
        b.assertInterrupt(0x30)
        #expect(b.execute() == .halted)
        // Behind the first NOP: MOV SS in the shadow of STI casts its own.
        #expect(Self.halted(b, in: 0x30) && b.stack(1) == [code.count == 4 ? 0x1_0002 : 0x1_0004])
    }

    @Test("STI; HLT is woken with the address behind HLT")
    func idle() {
        let b = Self.bench([0xFB, 0xF4, 0x90], halting: [0x30])
        #expect(b.execute() == .halted)
        b.assertInterrupt(0x30)
        #expect(b.execute() == .halted)
        #expect(Self.halted(b, in: 0x30) && b.stack(1) == [0x1_0002])
    }

    @Test("a second NMI waits for IRET")
    func nestedNMI() {
        let b = Self.bench([0x90, 0x90, 0xF4])
        b.setVector(2, to: Sel.code0, UInt32(Self.handler(2)), access: 0x8E)
        // INC EDI; NOP; NOP; IRETD.
        b.code(Self.handler(2), [0x47, 0x90, 0x90, 0xCF])
        b.c.setGPR(7, UInt32(0))
        b.processor.raiseNMI()
        b.execute(2)
        b.processor.raiseNMI()
        b.execute(1)
        #expect(b.c.gpr(7, UInt32.self) == 1 && b.c.rip == Self.handler(2) + 3)
        b.execute(2)
        #expect(b.c.gpr(7, UInt32.self) == 2)
    }

    @Test("REP MOVSB stops at an absent page with its registers there, and goes on after IRET")
    func restart() {
        let b = Self.bench([0xF3, 0xA4, 0xF4])
        b.enablePaging()
        b.setPage(0x7_1000, flags: 0)
        b.memory.write(0x7_0FF0, (0..<64).map { UInt8($0) })
        b.c.ecx = 64
        b.c.setGPR(6, UInt32(0x7_0FF0))
        b.c.setGPR(7, UInt32(0x7_3FF8))
        b.setVector(14, to: Sel.code0, UInt32(Self.handler(14)), access: 0x8E)
        // MOV EDX, ECX; MOV EBX, CR2; OR byte [table], 7; INVLPG [EBX]; ADD ESP, 4; IRETD.
        let entry = UInt32(Bench.directory + 0x1000 + 0x71 * 4)
        b.code(
            Self.handler(14),
            [0x89, 0xCA, 0x0F, 0x20, 0xD3, 0x80, 0x0D] + (0..<4).map { UInt8(truncatingIfNeeded: entry >> ($0 * 8)) }
                + [0x07, 0x0F, 0x01, 0x3B, 0x83, 0xC4, 0x04, 0xCF])
        #expect(b.execute() == .halted)
        #expect(b.c.edx == 48 && b.c.ebx == 0x7_1000 && b.c.ecx == 0)
        #expect(b.memory.read(0x7_3FF8, count: 64) == (0..<64).map { UInt8($0) })
    }

    @Test("fetch faults name the address and the user bit")
    func fetchFault() {
        let b = Self.bench([], halting: [14], ring: 3)
        b.enablePaging()
        b.setPage(0x1_0000, flags: 3)
        #expect(b.execute() == .halted)
        #expect(Self.halted(b, in: 14) && b.c.v.pointee.cr2 == 0x1_0000 && b.stack(2) == [5, 0x1_0000])
    }

    @Test("#AC at ring 3 with AM and AC, not at ring 0", arguments: [UInt8(0), 3])
    func alignment(ring: UInt8) {
        // MOV EAX, [0x7001]; UD2.
        let b = Self.bench([0xA1, 0x01, 0x70, 0, 0, 0x0F, 0x0B], halting: [6, 17], ring: ring)
        b.c.v.pointee.cr0 |= CR0.am
        b.c.v.pointee.systemFlags |= EFlags.ac
        #expect(b.execute() == .halted)
        #expect(Self.halted(b, in: ring == 3 ? 17 : 6))
        if ring == 3 { #expect(b.stack(2) == [0, 0x1_0000]) }
    }

    @Test("ports of ring 3 go by the bitmap")
    func ports() {
        // IN AL, 0x10; IN AL, 0x11.
        let b = Self.bench([0xE4, 0x10, 0xE4, 0x11, 0xF4], halting: [13], ring: 3)
        b.memory.store(Bench.tss + 0x68 + 2, UInt8(0xFE))
        #expect(b.execute() == .halted)
        #expect(Self.halted(b, in: 13) && b.stack(2) == [0, 0x1_0002] && b.c.al == 0xFF)
    }

    @Test("a fault in the new task of a JMP returns to the new task")
    func faultAfterSwitch() {
        // JMP tss2:0.
        let b = Self.bench([0xEA, 0, 0, 0, 0, UInt8(Sel.tss2), 0, 0xF4], halting: [11])
        TaskSwitchTests.prepare(b, cs: Sel.code0, ds: Sel.data0)
        b.memory.store(Bench.tss2 + 0x5C, Sel.absentData3)
        #expect(b.execute() == .halted)
        #expect(Self.halted(b, in: 11) && b.stack(2) == [UInt32(Sel.absentData3 & 0xFFFC), 0x7_7000])
    }

    @Test("a double fault on a broken stack is caught by a task gate")
    func doubleFaultTask() {
        // PUSH EAX with ESP in nowhere.
        let b = Self.bench([0x50, 0xF4])
        TaskSwitchTests.prepare(b, cs: Sel.code0, ds: Sel.data0)
        b.code(0x7_7000, [0xF4])
        b.setVector(12, to: Sel.code0, UInt32(Self.handler(12)), access: 0x8E)
        b.setVector(8, to: Sel.tss2, 0, access: 0x85)
        b.c.v.pointee.seg[Seg.ss].limit = 0xFFFF
        #expect(b.execute() == .halted)
        #expect(b.c.rip == 0x7_7001 && b.selector(Seg.tr) == Sel.tss2 && b.stack(1) == [0])
        #expect(b.memory.load(Bench.tss + 0x20, as: UInt32.self) == 0x1_0000)
    }

    @Test("a triple fault ends the run with a sentence")
    func tripleFault() {
        let b = Self.bench([0x0F, 0x0B])
        b.c.v.pointee.idtrLimit = 0
        guard case .shutdown(let sentence) = b.execute() else { return #expect(Bool(false)) }
        #expect(sentence.hasPrefix("triple fault: #GP while delivering #DF, because the IDT limit is 0") && sentence.contains("#UD"))
    }

    @Test("#AC that strikes in its own delivery ends the run instead of the host")
    func endlessChain() {
        // MOV EAX, [0x7001] at ring 3 with an odd stack; #AC stays at ring 3.
        let b = Self.bench([0xA1, 0x01, 0x70, 0, 0], ring: 3)
        b.setVector(17, to: Sel.code3, 0x5678, access: 0xEE)
        b.c.v.pointee.cr0 |= CR0.am
        b.c.v.pointee.systemFlags |= EFlags.ac
        b.c.rsp -= 1
        guard case .shutdown(let sentence) = b.execute() else { return #expect(Bool(false)) }
        #expect(sentence.hasPrefix("endless chain of faults"))
    }

    @Test("a handler that faults for ever uses up its budget: each delivery counts one")
    func faultLoop() {
        let b = Self.bench([0x0F, 0x0B])
        b.setVector(6, to: Sel.code0, UInt32(Self.start), access: 0x8E)
        #expect(b.execute(500) == .budgetUsed)
        #expect(b.processor.retired == 500 && b.c.rsp == Bench.stack0 - 0x100 - 500 * 12)
    }

    @Test("a V86 program traps into its monitor and goes on")
    func monitor() {
        let b = Bench()
        b.enterV86(iopl: 0)
        // CLI; MOV AX, 0x1234; INT3.
        b.code(0x1_0100, [0xFA, 0xB8, 0x34, 0x12, 0xCC])
        b.setVector(13, to: Sel.code0, UInt32(Self.handler(13)), access: 0x8E)
        b.setVector(3, to: Sel.code0, UInt32(Self.handler(3)), access: 0xEE)
        // INC EDI; INC dword [ESP+4]; ADD ESP, 4; IRETD.
        b.code(Self.handler(13), [0x47, 0xFF, 0x44, 0x24, 0x04, 0x83, 0xC4, 0x04, 0xCF])
        b.code(Self.handler(3), [0xF4])
        b.c.setGPR(7, UInt32(0))
        #expect(b.execute() == .halted)
        #expect(Self.halted(b, in: 3) && b.c.ax == 0x1234 && b.c.gpr(7, UInt32.self) == 1)
        #expect(b.stack(3) == [0x105, 0x1000, 0x2_0002])
    }

    @Test("SYSENTER and SYSEXIT go and come back")
    func fastCalls() {
        // SYSENTER at ring 3; at ring 0: MOV EDX, 0x1_0002; MOV ECX, ESP; SYSEXIT; back: INT 0x30.
        let b = Self.bench([0x0F, 0x34, 0xCD, 0x30], halting: [0x30], ring: 3)
        b.c.v.pointee.sysenterCS = UInt64(Sel.code0)
        b.c.v.pointee.sysenterESP = Bench.stack0 - 0x40
        b.c.v.pointee.sysenterEIP = 0x9000
        b.code(0x9000, [0xBA, 0x02, 0x00, 0x01, 0x00, 0xB9, 0x00, 0x00, 0x03, 0x00, 0x0F, 0x35])
        #expect(b.execute() == .halted)
        #expect(Self.halted(b, in: 0x30))
        #expect(b.stack(5) == [0x1_0004, UInt32(Sel.code3), 2, 0x3_0000, UInt32(Sel.data3)])
    }

    @Test("into protected mode and back to real mode with unreal limits")
    func roundTrip() {
        let b = Bench()
        b.enterReal()
        // MOV EAX, CR0; OR AL, 1; MOV CR0, EAX; MOV BX, 0x10; MOV DS, BX; AND AL, 0xFE; MOV CR0, EAX; MOV DS, CX;
        // MOV EDX, [dword 0x2_0000]; HLT.
        b.code(
            0x1_0100,
            [0x0F, 0x20, 0xC0, 0x0C, 0x01, 0x0F, 0x22, 0xC0, 0xBB, 0x10, 0x00, 0x8E, 0xDB, 0x24, 0xFE, 0x0F, 0x22, 0xC0, 0x8E, 0xD9]
                + [0x67, 0x66, 0x8B, 0x15, 0x00, 0x00, 0x02, 0x00, 0xF4])
        b.c.ecx = 0x100
        b.memory.store(0x2_1000, UInt32(0xCAFE_BABE))
        #expect(b.execute() == .halted)
        #expect(b.c.edx == 0xCAFE_BABE && b.c.segment(Seg.ds).base == 0x1000 && b.c.segment(Seg.ds).limit == .max)
    }
}
