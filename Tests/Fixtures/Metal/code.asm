; Code: self-modification, fetches across pages, LOCK, undefined opcodes, length limit, CMPXCHG8B, CMOVcc, SYSENTER, CPUID, MSRs, TSC.
%include "metal.inc"

main:
        ; ---- self-modifying code ----
        mov byte [.imm1 + 1], 0x22
.imm1:  mov al, 0x11
        movzx eax, al
        CHECK "store to the next instruction", eax, 0x22
        mov ecx, 3
        xor ebx, ebx
.loop1: nop
.patch: add ebx, 1                      ; 83 C3 ib
        inc byte [.patch + 2]
        loop .loop1
        CHECK "store to an earlier instruction of a loop", ebx, 6
        mov byte [.patch + 2], 1
        xor eax, eax
        mov dword [.ops], 0x40404040     ; inc eax four times
        jmp .ops
.ops:   nop
        nop
        nop
        nop
        CHECK "store behind a jump", eax, 4
        mov dword [.ops], 0x90909090
        ; REP MOVSB over the code behind it
        xor eax, eax
        mov esi, .template
        mov edi, .target
        mov ecx, 6
        rep movsb
.target: mov eax, 1
        nop
        CHECK "REP MOVSB over the next instruction", eax, 0x99
        ; REP STOSB over itself: the loop ends as decoded or at the first byte of the change; afterwards the bytes are NOPs
        xor ebx, ebx
        mov byte [.once + 1], 0x43
        call .once
        call .once
        CHECK "code changed by the code itself on its second run", ebx, 1
        jmp .next1
.once:  nop
        nop                             ; becomes INC EBX, then NOP
        mov byte [.once + 1], 0x90
        ret
.template: mov eax, 0x99
        nop
.next1:
        ; code in plain memory, called, changed, called
        mov dword [PAGES], 0xC301B0      ; mov al, 1; ret
        mov edi, PAGES
        xor eax, eax
        call edi
        mov ebx, eax
        mov byte [PAGES + 1], 2
        call edi
        shl eax, 8
        or eax, ebx
        CHECK "a changed routine", eax, 0x201
        ; by each width of store, MOVS, XCHG, push
        mov dword [PAGES], 0xC300B0
        call edi
        mov word [PAGES + 1], 0xC303
        call edi
        CHECKMASK "changed by a word store", eax, 0xFF, 3
        mov esi, .four
        push edi
        inc edi
        movsb
        pop edi
        call edi
        CHECKMASK "changed by MOVSB", eax, 0xFF, 4
        mov bl, 5
        xchg [PAGES + 1], bl
        call edi
        CHECKMASK "changed by XCHG", eax, 0xFF, 5
        inc byte [PAGES + 1]
        call edi
        CHECKMASK "changed by INC", eax, 0xFF, 6
        mov ebx, esp
        mov esp, PAGES + 4
        push dword 0xC307B0
        mov esp, ebx
        call edi
        CHECKMASK "changed by PUSH", eax, 0xFF, 7
        fld qword [.double]
        fstp qword [PAGES]
        call edi
        CHECKMASK "changed by FSTP", eax, 0xFF, 8
        mov eax, 0xC300B0
        mov edx, 0
        mov ebx, 0xC309B0
        mov eax, [PAGES]
        mov edx, [PAGES + 4]
        mov ecx, edx
        lock cmpxchg8b [PAGES]
        call edi
        CHECKMASK "changed by CMPXCHG8B", eax, 0xFF, 9
        ; by way of another page
        PAGING_ON
        mov dword [PTE(1)], PH(0) | 7
        invlpg [VA(1)]
        mov dword [VA(0)], 0xC301B0
        mov edi, VA(0)
        call edi
        mov byte [VA(1) + 1], 0x21
        call edi
        CHECKMASK "changed through an alias of the page", eax, 0xFF, 0x21
        mov byte [PH(0) + 1], 0x22
        call edi
        CHECKMASK "changed through a second alias", eax, 0xFF, 0x22
        ; another page at the same address
        mov dword [PH(2)], 0xC333B0
        PAGE 2, 7
        mov dword [PTE(0)], PH(2) | 7
        invlpg [VA(0)]
        call edi
        CHECKMASK "another page at the same address", eax, 0xFF, 0x33
        PAGE 0, 7
        call edi
        CHECKMASK "and back", eax, 0xFF, 0x22
        ; ---- fetches across pages ----
        mov dword [PH(4) + 0xFFD], 0x01B890     ; nop; mov eax, 1 …
        mov dword [PH(5)], 0x9A9A9A9A
        mov word [PH(4) + 0xFFE], 0x78B8
        mov dword [PH(5)], 0xC3123456
        PAGE 5, 7
        mov edi, VA(4) + 0xFFE
        call edi
        CHECK "instruction across two pages", eax, 0x12345678
        PAGE 5, 0
        TRY
        call edi
        ENDTRY
        GOT "instruction into an absent page", PF_, 0
        CHECK "CR2 is the start of the absent page", dword [exc_cr2], VA(5)
        CHECK "EIP is the start of the instruction", dword [exc_eip], VA(4) + 0xFFE
        PAGE 5, 7
        ; the second half elsewhere
        mov dword [PH(7)], 0xC3BBBBBB
        mov dword [PTE(5)], PH(7) | 7
        invlpg [VA(5)]
        call edi
        CHECK "instruction across pages that are not neighbours", eax, 0xBBBBBB78
        mov dword [PH(7)], 0xC3CCCCCC
        call edi
        CHECK "its second half changed", eax, 0xCCCCCC78
        mov byte [PH(4) + 0xFFF], 0x79
        call edi
        CHECK "its first half changed", eax, 0xCCCCCC79
        PAGE 5, 0
        mov byte [PH(4) + 0xFFE], 0x90
        mov byte [PH(4) + 0xFFF], 0x90
        TRY
        call edi
        ENDTRY
        CHECK "running into an absent page: EIP", dword [exc_eip], VA(5)
        mov byte [PH(4) + 0xFFF], 0xC3
        OK "the last byte of a page needs no next page", call edi
        mov byte [PH(4) + 0xFFE], 0xEB          ; jmp short, displacement in the last byte
        mov byte [PH(4) + 0xFFF], -4
        mov byte [PH(4) + 0xFFC], 0xC3
        OK "a jump at the end of a page", call edi
        PAGE 5, 7
        SETCR0 0x80000000, 0

        ; ---- LOCK ----
        mov eax, 0
        mov ebx, 0
        mov ecx, 0
        OK "LOCK ADD memory", lock add [scratch], eax
        OK "LOCK INC memory", lock inc dword [scratch]
        OK "LOCK XCHG memory", lock xchg [scratch], eax
        OK "LOCK BTS memory", lock bts dword [scratch], 1
        OK "LOCK CMPXCHG memory", lock cmpxchg [scratch], ecx
        OK "LOCK XADD memory", lock xadd [scratch], ecx
        OK "LOCK NOT memory", lock not dword [scratch]
        FAULT "LOCK MOV", UD, NONE, db 0xF0, 0x89, 0x03
        FAULT "LOCK CMP memory", UD, NONE, db 0xF0, 0x39, 0x03
        FAULT "LOCK ADD register", UD, NONE, db 0xF0, 0x01, 0xC0
        FAULT "LOCK ADD from memory", UD, NONE, db 0xF0, 0x03, 0x03
        FAULT "LOCK BT memory", UD, NONE, db 0xF0, 0x0F, 0xA3, 0x03
        FAULT "LOCK TEST", UD, NONE, db 0xF0, 0x85, 0x03
        FAULT "LOCK INC register", UD, NONE, db 0xF0, 0x40
        FAULT "LOCK SHL memory", UD, NONE, db 0xF0, 0xC1, 0x23, 1
        FAULT "LOCK NOP", UD, NONE, db 0xF0, 0x90
        FAULT "LOCK PUSH", UD, NONE, db 0xF0, 0x50
        FAULT "LOCK MOVSB", UD, NONE, db 0xF0, 0xA4
        FAULT "LOCK CMP memory, immediate", UD, NONE, db 0xF0, 0x83, 0x3B, 1
        FAULT "LOCK MUL memory", UD, NONE, db 0xF0, 0xF7, 0x23

        ; ---- undefined opcodes ----
        FAULT "UD2", UD, NONE, ud2
        FAULT "UD1", UD, NONE, db 0x0F, 0xB9, 0xC0
        FAULT "0F 04", UD, NONE, db 0x0F, 0x04
        FAULT "0F 0A", UD, NONE, db 0x0F, 0x0A
        FAULT "0F 24", UD, NONE, db 0x0F, 0x24, 0xC0
        FAULT "0F A6", UD, NONE, db 0x0F, 0xA6, 0xC0
        FAULT "0F FF", UD, NONE, db 0x0F, 0xFF, 0xC0
        FAULT "FE /2", UD, NONE, db 0xFE, 0xD0
        FAULT "FF /7", UD, NONE, db 0xFF, 0xF8
        FAULT "8F /1", UD, NONE, db 0x8F, 0xC8
        FAULT "C6 /1", UD, NONE, db 0xC6, 0xC8, 0
        FAULT "0F C7 /0", UD, NONE, db 0x0F, 0xC7, 0x00
        FAULT "CMPXCHG8B register", UD, NONE, db 0x0F, 0xC7, 0xC8
        FAULT "0F BA /0", UD, NONE, db 0x0F, 0xBA, 0xC0, 0
        FAULT "0F 00 /6", UD, NONE, db 0x0F, 0x00, 0xF0
        FAULT "LEA of a register", UD, NONE, db 0x8D, 0xC0
        FAULT "LES of a register", UD, NONE, db 0xC4, 0xC0
        FAULT "BOUND of a register", UD, NONE, db 0x62, 0xC0
        FAULT "LSS of a register", UD, NONE, db 0x0F, 0xB2, 0xC0
        FAULT "far CALL of a register", UD, NONE, db 0xFF, 0xD8
        FAULT "far JMP of a register", UD, NONE, db 0xFF, 0xE8
        FAULT "LIDT of a register", UD, NONE, db 0x0F, 0x01, 0xD8
        OK "D6 is SALC", db 0xD6
        OK "82 is an alias of 80", db 0x82, 0xC0, 0
        OK "F6 /1 is TEST", db 0xF6, 0xC8, 0
        OK "D0 /6 is SHL", db 0xD0, 0xF0
        ; ---- length ----
        OK "fifteen bytes", db 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90
        FAULT "sixteen bytes", GP, 0, db 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90
        FAULT "sixteen bytes with an immediate", GP, 0, db 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0xB8, 1, 2, 3, 4
        ; ---- prefixes ----
        mov eax, 0x11223344
        db 0x66, 0xB8, 0x78, 0x56
        CHECK "operand size prefix in 32-bit code", eax, 0x11225678
        mov ebx, 0xFFFF0000 + (scratch - ORG_)
        DESC T0, ORG_, 0xFFFF, A_DATA, 0
        mov ax, T0
        mov es, ax
        mov dword [scratch], 0x0BADCAFE
        mov eax, [es:bx]
        CHECK "address size prefix in 32-bit code", eax, 0x0BADCAFE
        mov ax, UDATA
        mov es, ax
        mov eax, 0
        db 0x64, 0x65, 0x3E, 0x8B, 0x05
        dd scratch
        CHECK "the last segment prefix counts", eax, 0x0BADCAFE
        mov ecx, 0x10001
        xor eax, eax
.lp:    inc eax
        a16 loop .lp
        CHECK "LOOP with 16-bit count", eax, 1
        CHECK "LOOP with 16-bit count keeps the upper half", ecx, 0x10000
        mov ecx, 0xFFFF0000
        xor eax, eax
        jcxz .zero
        inc eax
.zero:  CHECK "JCXZ looks at CX", eax, 0

        ; ---- CMPXCHG8B ----
        mov dword [scratch], 0x11111111
        mov dword [scratch + 4], 0x22222222
        mov eax, 0x11111111
        mov edx, 0x22222222
        mov ebx, 0x33333333
        mov ecx, 0x44444444
        cmpxchg8b [scratch]
        pushfd
        pop esi
        CHECKMASK "CMPXCHG8B equal: ZF", esi, FL_ZF, FL_ZF
        CHECK "CMPXCHG8B equal: low half", dword [scratch], 0x33333333
        CHECK "CMPXCHG8B equal: high half", dword [scratch + 4], 0x44444444
        stc
        cmpxchg8b [scratch]
        pushfd
        pop esi
        CHECKMASK "CMPXCHG8B unequal: ZF clear, CF kept", esi, FL_ZF | FL_CF, FL_CF
        CHECK "CMPXCHG8B unequal: EAX", eax, 0x33333333
        CHECK "CMPXCHG8B unequal: EDX", edx, 0x44444444
        mov eax, 5
        mov [scratch], eax
        mov ecx, 9
        cmpxchg [scratch], ecx
        CHECK "CMPXCHG equal", dword [scratch], 9
        cmpxchg [scratch], ecx
        CHECK "CMPXCHG unequal loads EAX", eax, 9
        mov eax, 1
        mov [scratch], eax
        mov ecx, 2
        xadd [scratch], ecx
        CHECK "XADD memory", dword [scratch], 3
        CHECK "XADD register", ecx, 1
        mov eax, 0x12345678
        bswap eax
        CHECK "BSWAP", eax, 0x78563412
        ; ---- CMOVcc ----
%macro CMOV 4                   ; name, condition, flags, moved
        mov eax, 0
        mov ebx, 1
        push dword %3
        popfd
        %2 eax, ebx
        CHECK %1, eax, %4
%endmacro
        CMOV "CMOVO", cmovo, FL_OF, 1
        CMOV "CMOVNO", cmovno, FL_OF, 0
        CMOV "CMOVB", cmovb, FL_CF, 1
        CMOV "CMOVAE", cmovae, FL_CF, 0
        CMOV "CMOVE", cmove, FL_ZF, 1
        CMOV "CMOVNE", cmovne, FL_ZF, 0
        CMOV "CMOVBE", cmovbe, FL_ZF, 1
        CMOV "CMOVA", cmova, FL_CF, 0
        CMOV "CMOVS", cmovs, FL_SF, 1
        CMOV "CMOVNS", cmovns, FL_SF, 0
        CMOV "CMOVP", cmovp, FL_PF, 1
        CMOV "CMOVNP", cmovnp, FL_PF, 0
        CMOV "CMOVL", cmovl, FL_SF, 1
        CMOV "CMOVGE", cmovge, FL_SF | FL_OF, 1
        CMOV "CMOVLE", cmovle, FL_OF, 1
        CMOV "CMOVG", cmovg, FL_SF | FL_OF | FL_ZF, 0
        ; ---- CPUID, MSRs, TSC ----
        mov eax, 0
        cpuid
        CHECKMASK "CPUID: at least leaf 1", eax, 0xFFFFFF00, 0
        mov eax, 1
        cpuid
        CHECKMASK "CPUID: FPU, DE, PSE, TSC, MSR, PAE, CX8, SEP, PGE, CMOV, MMX", edx, 0x0080A97D, 0x0080A97D
        pushfd
        pop eax
        mov ebx, eax
        xor eax, 0x200000
        push eax
        popfd
        pushfd
        pop eax
        xor eax, ebx
        CHECKMASK "EFLAGS.ID can be changed", eax, 0x200000, 0x200000
        push ebx
        popfd
        OK3 "CPUID in ring 3", cpuid
        rdtsc
        mov esi, eax
        mov edi, edx
        mov ecx, 1000
.spin:  loop .spin
        rdtsc
        sub eax, esi
        sbb edx, edi
        setc al
        or eax, edx
        CHECKMASK "RDTSC goes forward", eax, 0xFF, 0
        SETCR4 0, 4
        FAULT3 "RDTSC in ring 3 with CR4.TSD", GP, 0, rdtsc
        OK "RDTSC in ring 0 with CR4.TSD", rdtsc
        SETCR4 4, 0
        mov ecx, 0x174
        mov eax, KCODE
        xor edx, edx
        wrmsr
        mov ecx, 0x176
        mov eax, .sysenter
        wrmsr
        mov ecx, 0x175
        mov eax, KSTACK - 0x200
        wrmsr
        xor eax, eax
        rdmsr
        CHECK "MSR 0x175 holds what was written", eax, KSTACK - 0x200
        mov ecx, 0x7FFF0000
        FAULT "RDMSR of no register", GP, 0, rdmsr
        FAULT "WRMSR of no register", GP, 0, wrmsr
        ; SYSENTER wants flat descriptors behind each other: code and stack of ring 0, code and stack of ring 3
        TRY
        push dword UDATA
        push dword USTACK
        push dword FL_IF | 2
        push dword UCODE
        push dword .user
        iretd
.user:  mov ebx, 5
        sysenter
        ud2
.sysenter:
        mov esi, cs
        mov edi, ss
        mov ebp, esp
        pushfd
        pop ecx
        mov edx, .sysexit
        push ecx
        pop dword [seen_flags]
        mov ecx, USTACK - 0x40
        sysexit
.sysexit:
        mov eax, cs
        mov ebx, ss
        int DONE
        ENDTRY
        GOT "SYSENTER and SYSEXIT", DONE, NONE
        CHECK "SYSENTER: CS", esi, KCODE
        CHECKMASK "SYSENTER: SS", edi, 0xFFFF, KDATA
        CHECK "SYSENTER: ESP", ebp, KSTACK - 0x200
        CHECKMASK "SYSENTER clears IF", dword [seen_flags], FL_IF, 0
        CHECK "SYSEXIT: CS", eax, UCODE
        CHECKMASK "SYSEXIT: SS", ebx, 0xFFFF, UDATA
        CHECK "SYSEXIT: ESP", dword [exc_esp], USTACK - 0x40
        FAULT3 "SYSEXIT in ring 3", GP, 0, sysexit
        mov ecx, 0x174
        xor eax, eax
        xor edx, edx
        wrmsr
        FAULT3 "SYSENTER with a null selector in the MSR", GP, 0, sysenter
        FAULT "SYSENTER in ring 0 with a null selector", GP, 0, sysenter
        FAULT "SYSEXIT with a null selector", GP, 0, sysexit
        ret

section .data
align 8
scratch: times 64 db 0
main.four: db 4
align 8
main.double: db 0xB0, 8, 0xC3, 0, 0, 0, 0, 0x40
seen_flags: dd 0
section .text
