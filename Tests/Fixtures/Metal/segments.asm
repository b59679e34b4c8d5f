; Segment loads: every register, kind of descriptor, privilege and table; limits of every operand size.
; nasm -f bin -o segments.bin segments.asm && qemu-system-i386 -bios segments.bin -debugcon stdio -device isa-debug-exit,iobase=0xf4
%include "metal.inc"

LSEL    equ 4                   ; table indicator

; LOADS register, name: what every data segment register refuses
%macro LOADS 2
        mov eax, 0x7FC0
        FAULT {%2, ": selector beyond the GDT"}, GP, 0x7FC0, mov %1, ax
        mov eax, 0x43 + 0x200
        FAULT {%2, ": error code drops RPL"}, GP, 0x240, mov %1, ax
        mov eax, LDTLIMIT + 1 + LSEL
        FAULT {%2, ": selector beyond the LDT"}, GP, LDTLIMIT + 1 + LSEL, mov %1, ax
        mov eax, T0
        FAULT {%2, ": execute-only code"}, GP, T0, mov %1, ax
        mov eax, T1
        FAULT {%2, ": absent data"}, NP, T1, mov %1, ax
        mov eax, TSS
        FAULT {%2, ": system descriptor"}, GP, TSS, mov %1, ax
        mov eax, KDATA + 3
        FAULT {%2, ": RPL 3 of DPL 0 data"}, GP, KDATA, mov %1, ax
        mov eax, T2
        OK {%2, ": readable code"}, mov %1, ax
        mov eax, T3 + 3
        OK {%2, ": conforming code with any RPL"}, mov %1, ax
        mov eax, 0
        OK {%2, ": null selector"}, mov %1, ax
        mov eax, 3
        OK {%2, ": null selector with RPL 3"}, mov %1, ax
        mov eax, LSEL
        OK {%2, ": first entry of the LDT is not null"}, mov %1, ax
        mov eax, LSEL + 8
        FAULT {%2, ": absent in the LDT"}, NP, LSEL + 8, mov %1, ax
        mov eax, KDATA
        FAULT3 {%2, ": ring 3 loads DPL 0"}, GP, KDATA, mov %1, ax
        mov eax, T4
        FAULT3 {%2, ": ring 3 loads DPL 2 with RPL 0"}, GP, T4, mov %1, ax
        mov eax, T3
        OK3 {%2, ": ring 3 loads conforming code of DPL 0"}, mov %1, ax
        mov eax, 0
        OK3 {%2, ": ring 3 loads null"}, mov %1, ax
        mov eax, UDATA
        mov %1, ax
%endmacro

main:
        DESC T0, 0, 0xFFFFF, A_XONLY, 0xC
        DESC T1, 0, 0xFFFFF, A_DATA - ABSENT, 0xC
        DESC T2, 0, 0xFFFFF, A_CODE, 0xC
        DESC T3, 0, 0xFFFFF, A_CONF, 0xC
        DESC T4, 0, 0xFFFFF, A_DATA + D2, 0xC
        LDESC 0, 0, 0xFFFFF, A_DATA, 0xC
        LDESC 8, 0, 0xFFFFF, A_DATA - ABSENT, 0xC
        LOADS es, "ES"
        LOADS fs, "FS"
        LOADS gs, "GS"

        ; DS, whose use by the frame allows only refused loads
        mov eax, 0x7FC0
        FAULT "DS: selector beyond the GDT", GP, 0x7FC0, mov ds, ax
        mov eax, T0
        FAULT "DS: execute-only code", GP, T0, mov ds, ax
        mov eax, T1
        FAULT "DS: absent data", NP, T1, mov ds, ax
        mov eax, T4
        FAULT3 "DS: ring 3 loads DPL 2", GP, T4, mov ds, ax
        mov eax, KDATA
        FAULT3 "DS: ring 3 loads DPL 0", GP, KDATA, mov ds, ax
        push dword T1
        FAULT "POP ES of absent data leaves ESP", NP, T1, pop es
        FAULT "POP FS of absent data leaves ESP", NP, T1, pop fs
        add esp, 4
        mov dword [scratch], 0x12345678
        mov word [scratch + 4], T1
        FAULT "LES of absent data leaves the register", NP, T1, les ebx, [scratch]
        FAULT "LFS of absent data leaves the register", NP, T1, lfs ebx, [scratch]
        FAULT "LDS of absent data leaves the register", NP, T1, lds ebx, [scratch]
        mov word [scratch + 4], UDATA
        mov ebx, 0
        TRY
        lgs ebx, [scratch]
        ENDTRY
        CHECK "LGS loads the offset", ebx, 0x12345678

        ; the accessed bit
        DESC T5, 0, 0xFFFFF, A_DATA, 0xC
        mov eax, T5
        TRY
        mov es, ax
        ENDTRY
        movzx eax, byte [gdt + T5 + 5]
        CHECK "a load sets the accessed bit", eax, A_DATA + 1
        DESC T5, 0, 0xFFFFF, A_DATA - ABSENT, 0xC
        mov eax, T5
        TRY
        mov es, ax
        ENDTRY
        movzx eax, byte [gdt + T5 + 5]
        CHECK "a refused load does not set the accessed bit", eax, A_DATA - ABSENT
        mov ax, UDATA
        mov es, ax

        ; SS
        xor eax, eax
        FAULT "SS: null selector in ring 0", GP, 0, mov ss, ax
        mov eax, 3
        FAULT "SS: null selector with RPL 3", GP, 0, mov ss, ax
        mov eax, T1
        FAULT "SS: absent", SS_, T1, mov ss, ax
        DESC T5, 0, 0xFFFFF, A_RO, 0xC
        mov eax, T5
        FAULT "SS: read-only data", GP, T5, mov ss, ax
        mov eax, T2
        FAULT "SS: code", GP, T2, mov ss, ax
        mov eax, T4 + 2
        FAULT "SS: RPL 2 and DPL 2 in ring 0", GP, T4, mov ss, ax
        mov eax, T4
        FAULT "SS: DPL 2 with RPL 0", GP, T4, mov ss, ax
        mov eax, KDATA + 1
        FAULT "SS: RPL 1 of DPL 0", GP, KDATA, mov ss, ax
        mov eax, TSS
        FAULT "SS: system descriptor", GP, TSS, mov ss, ax
        mov eax, 0x7FF8
        FAULT "SS: beyond the GDT", GP, 0x7FF8, mov ss, ax
        DESC T5, 0, 0xFFFFF, A_RO - ABSENT, 0xC
        mov eax, T5
        FAULT "SS: type is checked before presence", GP, T5, mov ss, ax
        mov eax, KDATA
        OK "SS: data of DPL 0", mov ss, ax
        mov eax, UDATA
        OK3 "SS: ring 3 loads its own data", mov ss, ax
        mov eax, UDATA & ~3
        FAULT3 "SS: ring 3 with RPL 0", GP, UDATA & ~3, mov ss, ax
        xor eax, eax
        FAULT3 "SS: ring 3 loads null", GP, 0, mov ss, ax
        mov word [scratch + 4], T1
        FAULT "LSS of an absent stack leaves the register", SS_, T1, lss ebx, [scratch]
        push dword T1
        FAULT "POP SS of an absent stack leaves ESP", SS_, T1, pop ss
        add esp, 4
        ; MOV CS does not exist
        mov eax, KCODE
        FAULT "MOV CS is undefined", UD, NONE, db 0x8E, 0xC8
        FAULT "MOV to segment register 6 is undefined", UD, NONE, db 0x8E, 0xF0
        FAULT "MOV from segment register 7 is undefined", UD, NONE, db 0x8C, 0xF8

        ; null and unusable segments in use
        xor eax, eax
        mov es, ax
        mov fs, ax
        FAULT "read through null ES", GP, 0, mov al, [es:scratch]
        FAULT "write through null FS", GP, 0, mov [fs:scratch], al
        mov edi, scratch
        mov ecx, 1
        FAULT "STOSB through null ES", GP, 0, stosb
        mov ecx, 0
        OK "REP STOSB through null ES with ECX 0", rep stosb
        OK "LEA through null ES", lea eax, [es:scratch]
        mov eax, T2
        mov es, ax
        FAULT "write to readable code", GP, 0, mov [es:scratch], al
        OK "read from readable code", mov al, [es:scratch]
        FAULT "read-modify-write of readable code", GP, 0, add [es:scratch], al
        FAULT "write through CS", GP, 0, mov [cs:scratch], al
        DESC T5, 0, 0xFFFFF, A_RO, 0xC
        mov eax, T5
        mov es, ax
        FAULT "write to read-only data", GP, 0, mov [es:scratch], al
        FAULT "BTS in read-only data", GP, 0, bts dword [es:scratch], 1
        OK "BT in read-only data", bt dword [es:scratch], 1
        FAULT "XCHG with read-only data", GP, 0, xchg [es:scratch], al
        FAULT "CMPXCHG with read-only data", GP, 0, cmpxchg [es:scratch], cl
        OK "CMP with read-only data", cmp [es:scratch], al
        FAULT "STOSD to read-only data", GP, 0, stosd
        FAULT "SGDT to read-only data", GP, 0, sgdt [es:scratch]
        FAULT "POP to read-only data leaves ESP", GP, 0, pop dword [es:scratch]
        DESC T0, 0, 0xFFFFF, A_XONLY, 0xC

        ; limits, byte granular: last byte 0xFFF
        DESC T5, PAGES, 0xFFF, A_DATA, 4
        mov eax, T5
        mov es, ax
        mov gs, ax
        OK "byte at the limit", mov al, [es:0xFFF]
        FAULT "byte beyond the limit", GP, 0, mov al, [es:0x1000]
        OK "word at the limit", mov ax, [es:0xFFE]
        FAULT "word across the limit", GP, 0, mov ax, [es:0xFFF]
        OK "dword at the limit", mov eax, [es:0xFFC]
        FAULT "dword one byte across the limit", GP, 0, mov eax, [es:0xFFD]
        FAULT "dword three bytes across the limit", GP, 0, mov eax, [es:0xFFF]
        FAULT "dword wrapping at 4 GiB", GP, 0, mov eax, [es:0xFFFFFFFE]
        FAULT "write across the limit writes nothing", GP, 0, mov dword [es:0xFFD], 0x55AA55AA
        movzx eax, byte [PAGES + 0xFFD]
        CHECK "memory below the limit is untouched", eax, 0
        OK "qword at the limit", fld qword [es:0xFF8]
        FAULT "qword across the limit", GP, 0, fld qword [es:0xFF9]
        fninit
        OK "ten bytes at the limit", fld tword [es:0xFF6]
        FAULT "ten bytes across the limit", GP, 0, fld tword [es:0xFF7]
        fninit
        FAULT "FSTENV across the limit", GP, 0, fnstenv [es:0x1000 - 27]
        OK "FSTENV at the limit", fnstenv [es:0x1000 - 28]
        OK "six-byte pointer at the limit", sgdt [es:0xFFA]
        FAULT "six-byte pointer across the limit", GP, 0, sgdt [es:0xFFB]
        mov dword [PAGES + 0xFF8], 0
        mov dword [PAGES + 0xFFC], 0x10000
        mov eax, 5
        OK "BOUND operand at the limit of GS", bound eax, [gs:0xFF8]
        FAULT "BOUND operand across the limit", GP, 0, bound eax, [gs:0xFFA]
        mov eax, 0x8000
        FAULT "BT addresses beyond the limit by its bit number", GP, 0, bt dword [es:0], eax
        mov eax, -1
        FAULT "BT with a negative bit number", GP, 0, bt dword [es:0], eax
        mov eax, -1
        OK "BT with a negative bit number inside", bt dword [es:4], eax
        mov ebx, 0xF80
        mov eax, 0x80
        FAULT "XLAT beyond the limit", GP, 0, es xlatb
        mov eax, 0x7F
        OK "XLAT at the limit", es xlatb
        FAULT "CMPXCHG8B across the limit", GP, 0, cmpxchg8b [es:0xFF9]
        mov edi, 0xFFE
        FAULT "STOSD across the limit", GP, 0, stosd
        mov eax, 0xFFFFFFFF
        ; page granular: 0 means 4 KiB
        DESC T5, PAGES, 0, A_DATA, 0xC
        mov eax, T5
        mov es, ax
        OK "page granular limit 0 holds 4 KiB", mov al, [es:0xFFF]
        FAULT "page granular limit 0 ends after 4 KiB", GP, 0, mov al, [es:0x1000]
        DESC T5, PAGES, 0, A_DATA, 4
        mov eax, T5
        mov es, ax
        OK "limit 0 holds one byte", mov al, [es:0]
        FAULT "limit 0 refuses a word", GP, 0, mov ax, [es:0]
        ; the descriptor may change without effect until the next load
        OK "one byte may be read", mov al, [es:0]
        DESC T5, PAGES, 0xFFF, A_DATA, 4
        FAULT "a changed descriptor is not seen before the load", GP, 0, mov al, [es:1]
        mov ax, T5
        mov es, ax
        OK "and is seen after it", mov al, [es:1]
        ; expand-down
        DESC T5, PAGES, 0xFFF, A_DOWN, 4
        mov eax, T5
        mov es, ax
        FAULT "expand-down: at the limit", GP, 0, mov al, [es:0xFFF]
        OK "expand-down: above the limit", mov al, [es:0x1000]
        FAULT "expand-down: word across the limit", GP, 0, mov ax, [es:0xFFF]
        FAULT "expand-down: offset 0", GP, 0, mov al, [es:0]
        OK "expand-down, B=1: above 64 KiB", mov al, [es:0x10000]
        DESC T5, PAGES, 0xFFF, A_DOWN, 0
        mov eax, T5
        mov es, ax
        OK "expand-down, B=0: 0xFFFF", mov al, [es:0xFFFF]
        FAULT "expand-down, B=0: 0x10000", GP, 0, mov al, [es:0x10000]
        FAULT "expand-down, B=0: word at 0xFFFF", GP, 0, mov ax, [es:0xFFFF]
        DESC T5, 0, 0, A_DOWN, 0xC
        mov eax, T5
        mov es, ax
        FAULT "expand-down, G=1, limit 0: below 4 KiB", GP, 0, mov al, [es:0xFFF]
        OK "expand-down, G=1, limit 0: from 4 KiB", mov al, [es:0x10000]
        DESC T5, 0, 0xFFFFF, A_DOWN, 0xC
        mov eax, T5
        mov es, ax
        FAULT "expand-down with the highest limit is empty", GP, 0, mov al, [es:0xFFFFFFFF]
        mov ax, UDATA
        mov es, ax
        mov fs, ax
        mov gs, ax

        ; stack segment limits, in ring 3
        DESC T5, PAGES, 0xFFF, A_DATA + D3, 4
        mov eax, T5 + 3
        mov dword [snap_esp], 0
%macro STACK3 5+                ; name, vector, error, ESP, instruction
        TRY
        USER
        mov ss, ax
        mov esp, %4
        %5
        int DONE
        ENDTRY
        GOT %1, %2, %3
%endmacro
        STACK3 "PUSH at ESP 0 wraps beyond the limit", SS_, 0, 0, push eax
        STACK3 "PUSH dword at ESP 2", SS_, 0, 2, push eax
        STACK3 "PUSH dword at ESP 4", DONE, NONE, 4, push eax
        STACK3 "PUSH at the top of the limit", DONE, NONE, 0x1000, push eax
        STACK3 "PUSH above the limit", SS_, 0, 0x1001, push eax
        STACK3 "POP at the limit", DONE, NONE, 0xFFC, pop ecx
        STACK3 "POP across the limit", SS_, 0, 0xFFD, pop ecx
        STACK3 "read through SS beyond the limit", SS_, 0, 0x1000, mov ecx, [esp]
        mov ebp, 0x1000
        STACK3 "read through EBP beyond the limit", SS_, 0, 0x1000, mov cl, [ebp]
        STACK3 "SS override beyond the limit", SS_, 0, 0x1000, mov cl, [ss:0x1000]
        mov ebp, scratch
        STACK3 "DS override of EBP", DONE, NONE, 0x1000, mov cl, [ds:ebp]
        STACK3 "CALL without room", SS_, 0, 2, call $ + 5
        STACK3 "RET across the limit", SS_, 0, 0xFFE, ret
        STACK3 "PUSHAD without room", SS_, 0, 31, pushad
        STACK3 "PUSHAD with room", DONE, NONE, 32, pushad
        STACK3 "POPAD across the limit", SS_, 0, 0x1000 - 31, popad
        STACK3 "ENTER without room for locals", SS_, 0, 8, enter 0x10, 0
        mov ebp, 0x1000
        STACK3 "LEAVE beyond the limit", SS_, 0, 8, leave
        STACK3 "IRETD across the limit", SS_, 0, 0x1000 - 11, iretd
        STACK3 "PUSHFD without room", SS_, 0, 3, pushfd
        STACK3 "PUSH word at ESP 2", DONE, NONE, 2, push ax
        STACK3 "PUSH CS at ESP 0", SS_, 0, 0, push cs
        CHECK "ESP is restored by the fault", dword [exc_esp], 0
        ; 16-bit stack: SP wraps, upper half of ESP stays
        DESC T5, PAGES, 0xFFFF, A_DATA + D3, 0
        STACK3 "16-bit stack: PUSH at SP 0 wraps to 0xFFFC", DONE, NONE, 0xABCD0000, push eax
        CHECK "16-bit stack: upper half of ESP stays", dword [exc_esp], 0xABCDFFFC
        STACK3 "16-bit stack: POP at 0xFFFC wraps to 0", DONE, NONE, 0xABCDFFFC, pop ecx
        CHECK "16-bit stack: SP is 0 after the wrap", dword [exc_esp], 0xABCD0000
        STACK3 "16-bit stack: PUSH dword at SP 2 straddles", SS_, 0, 2, push eax
        STACK3 "16-bit stack: POP dword at 0xFFFE straddles", SS_, 0, 0xFFFE, pop ecx
        STACK3 "16-bit stack: CALL pushes through SP", DONE, NONE, 0x12340100, call $ + 5
        CHECK "16-bit stack: CALL took four bytes", dword [exc_esp], 0x123400FC
        STACK3 "16-bit stack: ENTER keeps upper EBP source", DONE, NONE, 0x56780100, enter 8, 0
        CHECK "16-bit stack: ENTER moves SP only", dword [exc_esp], 0x567800F4
        ; expand-down stack
        DESC T5, PAGES, 0xFFF, A_DOWN + D3, 4
        STACK3 "expand-down stack: PUSH at the lower end", SS_, 0, 0x1002, push eax
        STACK3 "expand-down stack: PUSH above", DONE, NONE, 0x1004, push eax
        STACK3 "expand-down stack: PUSH at 0 wraps to the top", DONE, NONE, 0x2000, push eax

        ; code segment limit
        DESC T5, 0, 0, A_CODE + D3, 0xC
        DESC T6, straddling - 2, 3, A_CODE + D3, 4
        TRY
        push dword UDATA
        push dword USTACK
        push dword 2
        push dword T6 + 3
        push dword 2
        iretd
        ENDTRY
        GOT "instruction fetch across the CS limit", GP, 0
        CHECK "the fetch fault points at the instruction", dword [exc_eip], 2
        TRY
        push dword UDATA
        push dword USTACK
        push dword 2
        push dword T6 + 3
        push dword 4
        iretd
        ENDTRY
        GOT "IRET beyond the CS limit", GP, 0
        DESC T6, crossing, 1, A_CODE + D3, 4
        TRY
        push dword UDATA
        push dword USTACK
        push dword 2
        push dword T6 + 3
        push dword 0
        iretd
crossing:
        nop
        nop
        nop
        nop
        ENDTRY
        GOT "running off the CS limit", GP, 0
        CHECK "the fault points beyond the limit", dword [exc_eip], 2

        ; LLDT, LTR
        xor eax, eax
        OK "LLDT null", lldt ax
        mov eax, LSEL
        FAULT "LDT selector while the LDT is null", GP, LSEL, mov es, ax
        mov eax, LSEL + 0x10
        FAULT "LLDT from the LDT", GP, LSEL + 0x10, lldt ax
        mov eax, KDATA
        FAULT "LLDT of data", GP, KDATA, lldt ax
        mov eax, TSS
        FAULT "LLDT of a TSS", GP, TSS, lldt ax
        mov eax, 0x7F00
        FAULT "LLDT beyond the GDT", GP, 0x7F00, lldt ax
        DESC T6, ldt, LDTLIMIT, 0x02, 0
        mov eax, T6
        FAULT "LLDT absent", NP, T6, lldt ax
        mov eax, LDT
        OK "LLDT", lldt ax
        FAULT3 "LLDT in ring 3", GP, 0, lldt ax
        xor eax, eax
        FAULT "LTR null", GP, 0, ltr ax
        mov eax, TSS
        FAULT "LTR of a busy TSS", GP, TSS, ltr ax
        mov eax, LDT
        FAULT "LTR of an LDT", GP, LDT, ltr ax
        mov eax, LSEL
        FAULT "LTR from the LDT", GP, LSEL, ltr ax
        DESC T6, tss, 0x67, 0x09, 0
        mov eax, T6
        FAULT "LTR absent", NP, T6, ltr ax
        FAULT3 "LTR in ring 3", GP, 0, ltr ax
        movzx eax, byte [gdt + TSS + 5]
        CHECK "LTR made the TSS busy", eax, 0x8B

        ; far jumps inside ring 0
%macro FARJMP 4                 ; name, vector, error, selector
        FAULT %1, %2, %3, jmp %4:0
%endmacro
        FARJMP "far JMP: null", GP, 0, 0
        FARJMP "far JMP: null with RPL", GP, 0, 3
        FARJMP "far JMP: data", GP, KDATA, KDATA
        FARJMP "far JMP: beyond the GDT", GP, 0x7F00, 0x7F00
        FARJMP "far JMP: outer code", GP, UCODE & ~3, UCODE & ~3
        FARJMP "far JMP: RPL 3 of DPL 0 code", GP, KCODE, KCODE + 3
        DESC T6, 0, 0xFFFFF, A_CODE - ABSENT, 0xC
        FARJMP "far JMP: absent code", NP, T6, T6
        DESC T6, 0, 0xFFFFF, A_CONF - ABSENT, 0xC
        FARJMP "far JMP: absent conforming code", NP, T6, T6
        DESC T6, 0, 0xFFFFF, A_CONF + D3, 0xC
        FARJMP "far JMP: conforming code of an outer ring", GP, T6, T6
        FARJMP "far JMP: LDT descriptor", GP, LDT, LDT
        DESC T6, 0, 0xFFF, A_CODE, 4
        FAULT "far JMP: beyond the limit", GP, 0, jmp T6:0x1000
        FAULT "far CALL: null pushes nothing", GP, 0, call 0:0
        FAULT "far CALL: data", GP, KDATA, call KDATA:0
        DESC T6, 0, 0xFFFFF, A_CODE - ABSENT, 0xC
        FAULT "far CALL: absent code", NP, T6, call T6:0
        DESC T6, 0, 0xFFF, A_CODE, 4
        FAULT "far CALL: beyond the limit", GP, 0, call T6:0x1000
        FAULT3 "far JMP: ring 3 to ring 0 code", GP, KCODE, jmp KCODE:0
        FAULT3 "far CALL: ring 3 to ring 0 code", GP, KCODE, call KCODE:0
        push dword 0
        push dword 0
        FAULT "RETF to null leaves ESP", GP, 0, retf
        mov dword [esp + 4], KDATA
        FAULT "RETF to data", GP, KDATA, retf
        mov dword [esp + 4], T6
        mov dword [esp], 0x1000
        FAULT "RETF beyond the limit", GP, 0, retf
        DESC T6, 0, 0xFFFFF, A_CODE - ABSENT, 0xC
        FAULT "RETF to absent code", NP, T6, retf
        add esp, 8

        ; ARPL, VERR, VERW, LAR, LSL
        mov eax, KDATA
        mov ebx, 3
        arpl ax, bx
        CHECK "ARPL raises RPL", eax, KDATA + 3
        pushfd
        pop ecx
        CHECKMASK "ARPL sets ZF when it raises", ecx, FL_ZF, FL_ZF
        arpl ax, bx
        pushfd
        pop ecx
        CHECKMASK "ARPL clears ZF otherwise", ecx, FL_ZF, 0
%macro VERIFY 4                 ; name, instruction, selector, ZF
        mov eax, %3
        %2 ax
        pushfd
        pop ecx
        CHECKMASK %1, ecx, FL_ZF, %4
%endmacro
        VERIFY "VERR of data", verr, KDATA, FL_ZF
        VERIFY "VERW of data", verw, KDATA, FL_ZF
        VERIFY "VERR of null", verr, 0, 0
        VERIFY "VERR of readable code", verr, KCODE, FL_ZF
        VERIFY "VERW of code", verw, KCODE, 0
        VERIFY "VERR of execute-only code", verr, T0, 0
        VERIFY "VERR of a TSS", verr, TSS, 0
        VERIFY "VERR beyond the GDT", verr, 0x7F00, 0
        VERIFY "VERR with RPL 3 of DPL 0", verr, KDATA + 3, 0
        VERIFY "VERR of absent data ignores P", verr, T1, FL_ZF
        VERIFY "VERR of conforming code with RPL 3", verr, T3 + 3, FL_ZF
        DESC T5, 0, 0xFFFFF, A_RO, 0xC
        VERIFY "VERW of read-only data", verw, T5, 0
        mov eax, KDATA
        lar edx, eax
        CHECKMASK "LAR of data", edx, 0xF0FF00, 0x00C09300
        mov eax, UCODE
        lar edx, eax
        CHECKMASK "LAR of code", edx, 0xF0FF00, 0x00C0FB00
        mov eax, TSS
        lar edx, eax
        CHECK "LAR of a busy TSS", edx, 0x00008B00
        mov eax, T1
        lar edx, eax
        CHECKMASK "LAR of an absent segment", edx, 0xF0FF00, 0x00C01200
        GATE T5, KCODE, 0, 0, 0x8C
        mov eax, T5
        xor edx, edx
        lar edx, eax
        CHECKMASK "LAR of a call gate", edx, 0xFF00, 0x8C00
        GATE T5, KCODE, 0, 0, 0x8E
        mov eax, T5
        mov edx, 0x1234
        lar edx, eax
        CHECK "LAR of an interrupt gate leaves the register", edx, 0x1234
        mov eax, 0
        mov edx, 0x1234
        lar edx, eax
        CHECK "LAR of null leaves the register", edx, 0x1234
        mov eax, KDATA
        lsl edx, eax
        CHECK "LSL expands page granularity", edx, 0xFFFFFFFF
        mov eax, TSS
        lsl edx, eax
        CHECK "LSL of a TSS", edx, 0x67
        GATE T5, KCODE, 0, 0, 0x8C
        mov eax, T5
        mov edx, 0x1234
        lsl edx, eax
        CHECK "LSL of a call gate leaves the register", edx, 0x1234
        mov eax, KDATA
        mov edx, 0x12345678
        lsl dx, ax
        CHECK "LSL with 16 bits", edx, 0x1234FFFF
        mov eax, KDATA
        mov edx, 0x12345678
        lar dx, ax
        CHECK "LAR with 16 bits", edx, 0x12349300
        mov eax, KDATA
        TRY
        USER
        mov edx, 0x77
        lar edx, eax
        int DONE
        ENDTRY
        CHECK "LAR in ring 3 of DPL 0 leaves the register", dword [exc_edx], 0x77
        ret

section .data
straddling: db 0xB8, 1, 2, 3, 4 ; mov eax, …
align 8
scratch: times 64 db 0
