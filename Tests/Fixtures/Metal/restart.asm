; Restart: page faults in the middle of string instructions and of instructions with several memory accesses.
%include "metal.inc"

; Pages: 20 present, 21 absent, 22 present; sources at PH(24).
SOURCE  equ PH(24)

%macro RESET_PAGES 0
        PAGE 20, 7
        PAGE 21, 0
        PAGE 22, 7
%endmacro

; STRING name, prefixes and instruction, ECX, ESI, EDI, then expected error, CR2, and ECX, ESI, EDI at the fault; afterwards the page
; appears, the instruction goes on, and ECX, ESI, EDI are those of the end.
%macro STRING 13
        PAGE 21, 0
        mov eax, 0xA5A5A5A5
        mov ecx, %3
        mov esi, %4
        mov edi, %5
        TRY
%$at:   %2
        ENDTRY
        GOT {%1, ": page fault"}, PF_, %6
        CHECK {%1, ": CR2"}, dword [exc_cr2], %7
        CHECK {%1, ": ECX at the fault"}, ecx, %8
        CHECK {%1, ": ESI at the fault"}, esi, %9
        CHECK {%1, ": EDI at the fault"}, edi, %10
        PAGE 21, 7
        %2
        CHECK {%1, ": ECX after the restart"}, ecx, %11
        CHECK {%1, ": ESI after the restart"}, esi, %12
        CHECK {%1, ": EDI after the restart"}, edi, %13
%endmacro

; FAULTS name, error, ESP, {instruction}: #PF in ring 3 with this stack; nothing may have changed
%macro FAULTS 4+
        PAGE 21, 0
        mov dword [resume_eip], %%end
        call snapshot
        mov dword [snap_esp], %3
        push dword UDATA
        push dword %3
        pushfd
        push dword UCODE
        push dword %%at
        iretd
%%at:   %4
        int DONE
%%end:
        mov dword [resume_eip], 0
        push dword %%at
        push dword %2
        push dword PF_
        push dword %%name
        call check_fault
[section .data]
%%name: db %1, 0
__SECT__
%endmacro

B       equ VA(21)              ; start of the absent page
E       equ VA(22)              ; its end

main:
        PAGING_ON
        mov edi, SOURCE
        mov ecx, 0x1000
.fill:  mov eax, ecx
        stosb
        loop .fill

        STRING "REP MOVSB into the page", rep movsb, 16, SOURCE, B - 5, 2, B, 11, SOURCE + 5, B, 0, SOURCE + 16, B + 11
        STRING "REP MOVSW into the page", rep movsw, 8, SOURCE, B - 6, 2, B, 5, SOURCE + 6, B, 0, SOURCE + 16, B + 10
        STRING "REP MOVSD into the page", rep movsd, 8, SOURCE, B - 8, 2, B, 6, SOURCE + 8, B, 0, SOURCE + 32, B + 24
        STRING "REP MOVSD straddling", rep movsd, 8, SOURCE, B - 6, 2, B, 7, SOURCE + 4, B - 2, 0, SOURCE + 32, B + 26
        STRING "REP MOVSB out of the page", rep movsb, 16, B - 5, PH(25), 0, B, 11, B, PH(25) + 5, 0, B + 11, PH(25) + 16
        STRING "REP MOVSD straddling out of the page", rep movsd, 4, B - 2, PH(25), 0, B, 4, B - 2, PH(25), 0, B + 14, PH(25) + 16
        STRING "REP STOSB into the page", rep stosb, 100, 7, B - 60, 2, B, 40, 7, B, 0, 7, B + 40
        STRING "REP STOSW straddling", rep stosw, 10, 7, B - 3, 2, B, 9, 7, B - 1, 0, 7, B + 17
        STRING "REP STOSD into the page", rep stosd, 0x500, 7, B - 0x1000, 2, B, 0x100, 7, B, 0, 7, B + 0x400
        STRING "REP LODSB out of the page", rep lodsb, 9, B - 4, 7, 0, B, 5, B, 7, 0, B + 5, 7
        mov ecx, 0x1000
        mov edi, VA(20)
        mov al, 0xA5
        PAGE 21, 7
        mov ecx, 0x3000
        rep stosb
        STRING "REPE SCASB through the page", repe scasb, 20, 7, B - 4, 0, B, 16, 7, B, 0, 7, B + 16
        STRING "REPE CMPSB through the page", repe cmpsb, 20, VA(22), B - 4, 0, B, 16, VA(22) + 4, B, 0, VA(22) + 20, B + 16
        STRING "REPE CMPSD, source in the page", repe cmpsd, 8, B - 4, VA(22), 0, B, 7, B, VA(22) + 4, 0, B + 28, VA(22) + 32
        std
        STRING "REP MOVSB downwards", rep movsb, 16, SOURCE + 20, E + 4, 2, E - 1, 11, SOURCE + 15, E - 1, 0, SOURCE + 4, E - 12
        std
        STRING "REP STOSD downwards", rep stosd, 4, 7, E + 4, 2, E - 4, 2, 7, E - 4, 0, 7, E - 12
        std
        STRING "REP STOSD downwards, straddling", rep stosd, 4, 7, E + 6, 2, E - 2, 2, 7, E - 2, 0, 7, E - 10
        cld
        ; 16-bit addresses
        DESC T0, VA(20), 0xFFFF, A_DATA, 0
        mov ax, T0
        mov es, ax
        STRING "REP STOSB with 16-bit addresses", {a16 rep stosb}, 0x5555_0010, 7, 0x6666_0FF8, 2, B, 0x5555_0008, 7, 0x6666_1000, 0x5555_0000, 7, 0x6666_1008
        STRING "REP MOVSB with 16-bit addresses", {a16 es rep movsb}, 0x5555_0010, 0x7777_0FFC, 0x6666_0100, 0, B, 0x5555_000C, 0x7777_1000, 0x6666_0104, 0x5555_0000, 0x7777_100C, 0x6666_0110
        mov ax, UDATA
        mov es, ax
        STRING "REP OUTSB out of the page", rep outsb, 8, B - 3, 7, 0, B, 5, B, 7, 0, B + 5, 7
        mov edx, 0x80
        STRING "REP INSB into the page", rep insb, 8, 7, B - 3, 2, B, 5, 7, B, 0, 7, B + 5
        mov ecx, 0
        PAGE 21, 0
        mov edi, B
        mov esi, B
        OK "REP MOVSB with ECX 0 touches nothing", rep movsb
        FAULT "MOVSB into the page", PF_, 0, movsb
        FAULT "STOSD into the page", PF_, 2, stosd
        FAULT "CMPSB in the page", PF_, 0, cmpsb
        FAULT "LODSD in the page", PF_, 0, lodsd
        mov ecx, 4
        PAGE 21, 0
        FAULT "REP STOSD: first element", PF_, 2, rep stosd
        ; memory of a straddling element is untouched, copied elements are there
        PAGE 20, 7
        mov dword [PH(20) + 0xFF8], 0
        mov dword [PH(20) + 0xFFC], 0
        mov esi, SOURCE
        mov dword [SOURCE], 0x11111111
        mov dword [SOURCE + 4], 0x22222222
        mov edi, B - 6
        mov ecx, 3
        TRY
        rep movsd
        ENDTRY
        CHECK "elements before the fault are copied", dword [PH(20) + 0xFFA], 0x11111111
        movzx eax, word [PH(20) + 0xFFE]
        CHECK "the straddling element is not", eax, 0
        ; overlap
        mov dword [PH(26)], 0x04030201
        mov dword [PH(26) + 4], 0
        mov esi, PH(26)
        mov edi, PH(26) + 1
        mov ecx, 7
        rep movsb
        CHECK "REP MOVSB over itself repeats the byte", dword [PH(26) + 4], 0x01010101
        ; flags of an interrupted REPE CMPSB are those before the element
        PAGE 21, 7
        mov dword [PH(21)], 0
        PAGE 21, 0
        mov esi, VA(22)
        mov edi, B - 2
        mov ecx, 5
        mov word [PH(20) + 0xFFE], 0xA5A5
        cmp esp, 0
        TRY
        repe cmpsb
        ENDTRY
        CHECKMASK "flags of REPE CMPSB are of the last element done", dword [exc_eflags], FL_ZF | FL_CF, FL_ZF

        ; the stack
        mov eax, 0x11111111
        mov ebx, 0x22222222
        mov ecx, 0x33333333
        mov edx, 0x44444444
        mov esi, 0x55555555
        mov edi, 0x66666666
        mov ebp, 0x77777777
        stc
        FAULTS "PUSH EAX", 6, E, push eax
        FAULTS "PUSH AX straddling", 6, E + 1, push ax
        FAULTS "PUSH imm", 6, E, push dword 5
        FAULTS "PUSH ES", 6, E, push es
        FAULTS "PUSH memory in the page", 4, USTACK, push dword [B]
        FAULTS "PUSH memory to the page", 6, E, push dword [PH(26)]
        FAULTS "POP EAX", 4, B, pop eax
        FAULTS "POP EAX straddling", 4, B - 2, pop eax
        FAULTS "POP memory in the page", 6, PH(26), pop dword [B]
        FAULTS "POP memory out of the page", 4, B, pop dword [PH(26)]
        FAULTS "POP memory through ESP", 6, B - 4, pop dword [esp]
        FAULTS "POP ES", 4, B, pop es
        FAULTS "PUSHAD", 6, E, pushad
        FAULTS "PUSHAD halfway", 6, E + 16, pushad
        FAULTS "PUSHA halfway", 6, E + 6, pusha
        FAULTS "POPAD", 4, B, popad
        FAULTS "POPAD halfway", 4, B - 16, popad
        FAULTS "POPA halfway", 4, B - 6, popa
        FAULTS "PUSHFD", 6, E, pushfd
        FAULTS "POPFD", 4, B, popfd
        FAULTS "ENTER 16, 0", 6, E, enter 16, 0
        FAULTS "ENTER 16, 1", 6, E + 4, enter 16, 1
        mov ebp, B + 0x20
        FAULTS "ENTER 16, 3 with frames in the page", 4, USTACK, enter 16, 3
        mov ebp, B
        FAULTS "LEAVE", 4, USTACK, leave
        mov ebp, B - 2
        FAULTS "LEAVE straddling", 4, USTACK, leave
        FAULTS "CALL near", 6, E, call $ + 10
        FAULTS "CALL near indirect, target in the page", 4, USTACK, call [B]
        mov eax, main
        FAULTS "CALL near through a register", 6, E, call eax
        FAULTS "CALL far", 6, E, call UCODE:main
        FAULTS "CALL far, second dword", 6, E + 4, call UCODE:main
        FAULTS "CALL far indirect, pointer straddling", 4, USTACK, call far [B - 4]
        FAULTS "JMP far indirect, pointer in the page", 4, USTACK, jmp far [B]
        FAULTS "RET", 4, B, ret
        FAULTS "RET 8", 4, B - 1, ret 8
        FAULTS "RETF, selector in the page", 4, B - 4, retf
        FAULTS "IRETD, flags in the page", 4, B - 8, iretd
        ; read and write
        FAULTS "XCHG with the page", 6, USTACK, xchg [B], eax
        FAULTS "XADD with the page", 6, USTACK, xadd [B], eax
        FAULTS "CMPXCHG with the page", 6, USTACK, cmpxchg [B], ebx
        FAULTS "CMPXCHG8B with the page", 6, USTACK, cmpxchg8b [B]
        FAULTS "CMPXCHG8B straddling", 6, USTACK, cmpxchg8b [B - 4]
        FAULTS "ADD to the page", 6, USTACK, add [B], eax
        FAULTS "ADC to the page, straddling", 6, USTACK, adc [B - 1], eax
        FAULTS "ADD from the page", 4, USTACK, add eax, [B]
        FAULTS "NEG of the page", 6, USTACK, neg dword [B]
        FAULTS "SHLD of the page", 6, USTACK, shld [B], eax, 4
        FAULTS "RCL of the page", 6, USTACK, rcl dword [B], 3
        FAULTS "BTS of the page", 6, USTACK, bts dword [B], 3
        FAULTS "SETC to the page", 6, USTACK, setc [B]
        FAULTS "MUL by the page", 4, USTACK, mul dword [B]
        FAULTS "IMUL by the page", 4, USTACK, imul eax, [B], 5
        FAULTS "DIV by the page", 4, USTACK, div dword [B]
        FAULTS "MOVZX from the page", 4, USTACK, movzx eax, word [B - 1]
        FAULTS "CMOVC from the page", 4, USTACK, cmovc eax, [B]
        FAULTS "CMOVNC from the page reads although the condition fails", 4, USTACK, cmovnc eax, [B]
        FAULTS "LES from the page", 4, USTACK, les eax, [B - 4]
        FAULTS "BOUND with the page", 4, USTACK, bound eax, [B - 4]
        FAULTS "ARPL of the page", 6, USTACK, arpl [B], ax
        mov ebx, B - 0x10
        mov eax, 0x10
        FAULTS "XLAT from the page", 4, USTACK, xlatb
        mov eax, 0x8000
        FAULTS "BTC by a register beyond the page end", 6, USTACK, btc dword [VA(20)], eax
        FAULTS "SIDT to the page", 6, USTACK, sidt [B]
        FAULTS "SMSW to the page", 6, USTACK, smsw [B]
        ; the FPU keeps its state
        fninit
        fld1
        fldpi
        FAULTS "FNSAVE straddling", 6, USTACK, fnsave [B - 20]
        fnstsw ax
        CHECKMASK "a refused FNSAVE does not initialise", eax, 0x3800, 6 << 11
        FAULTS "FSTP to the page", 6, USTACK, fstp qword [B]
        fnstsw ax
        CHECKMASK "a refused FSTP does not pop", eax, 0x3800, 6 << 11
        FAULTS "FLD from the page", 4, USTACK, fld qword [B - 4]
        fnstsw ax
        CHECKMASK "a refused FLD does not push", eax, 0x3800, 6 << 11
        FAULTS "FLDENV from the page", 4, USTACK, fldenv [B - 10]
        FAULTS "FRSTOR from the page", 4, USTACK, frstor [B - 50]
        fninit
        fld1
        fldpi
        FAULTS "FBSTP to the page", 6, USTACK, fbstp [B - 4]
        fnstsw ax
        CHECKMASK "a refused FBSTP does not pop", eax, 0x3800, 6 << 11
        fninit
        ; #DE
        xor ecx, ecx
        mov eax, 5
        xor edx, edx
        FAULT "DIV by 0", DE, NONE, div ecx
        FAULT "IDIV by 0", DE, NONE, idiv cl
        mov edx, 5
        mov ecx, 5
        FAULT "DIV overflow", DE, NONE, div ecx
        mov eax, 0x80000000
        mov edx, -1
        mov ecx, -1
        FAULT "IDIV of the least number by -1", DE, NONE, idiv ecx
        mov eax, 0x8000
        FAULT "IDIV byte overflow", DE, NONE, idiv cl
        FAULT "AAM 0", DE, NONE, aam 0
        ; PUSH ESP, POP ESP
        mov eax, esp
        push esp
        pop ebx
        CHECK "PUSH ESP pushes the value before", ebx, eax
        mov ecx, esp
        push dword 0x12345678
        push esp
        pop esp
        pop eax
        CHECK "POP ESP loads the value popped", eax, 0x12345678
        push dword 0x11
        push dword 0x22
        pop dword [esp]
        pop eax
        CHECK "POP [ESP] addresses with ESP after the pop", eax, 0x22
        push dword 0x77
        push dword [esp]
        pop eax
        pop ebx
        CHECK "PUSH [ESP] addresses with ESP before the push", eax, 0x77
        mov ebp, 0x1234
        mov eax, esp
        enter 8, 0
        sub eax, ebp
        CHECK "ENTER: EBP is ESP after the push", eax, 4
        mov eax, ebp
        sub eax, esp
        CHECK "ENTER: locals", eax, 8
        leave
        CHECK "LEAVE restores EBP", ebp, 0x1234
        SETCR0 0x80000000, 0
        ret
