; Precise state: flags and registers are exact at a fault, an event or a block's end, whatever the next instruction would overwrite;
; changes of mode, segments and pages take effect with the next instruction.
%include "metal.inc"

ABSENT_ equ VA(1)
STATUS  equ 0x8D5

%macro VALUES 0
        mov dword [memory], 0x12345678
        mov edi, memory
        mov eax, 0x7FFFFFF9
        mov ebx, 0x80000017
        mov ecx, 0x00000005
        mov edx, 0x00000003
        stc
%endmacro
; PRECISE name, {instruction}, {faulting instruction}: the status flags that a fault right behind the instruction saves are those
; that PUSHFD finds there, although the instruction behind the fault would overwrite all of them.
%macro PRECISE 3
        VALUES
        %2
        pushfd
        pop dword [want]
        VALUES
        TRY
        %2
        %3
        xor esi, esi
        ENDTRY
        mov edi, [exc_eflags]
        xor edi, [want]
        CHECKMASK {"flags at a fault behind ", %1}, edi, STATUS, 0
%endmacro
%define STORE {mov [ABSENT_], al}
%define LOAD {mov al, [ABSENT_]}
%define PUSHM {push dword [ABSENT_]}
%define DIVZ {div dword [zero]}
%define UDEF {ud2}
%define SOFT {int 0x41}

main:
        PAGING_ON
        PAGE 1, 0
        PRECISE "ADD", {add eax, ebx}, STORE
        PRECISE "ADD of bytes", {add al, bl}, LOAD
        PRECISE "ADD of words", {add ax, bx}, PUSHM
        PRECISE "OR", {or eax, ebx}, DIVZ
        PRECISE "ADC", {adc eax, ebx}, STORE
        PRECISE "SBB", {sbb eax, ebx}, LOAD
        PRECISE "SBB of bytes", {sbb al, bl}, UDEF
        PRECISE "AND", {and eax, ebx}, SOFT
        PRECISE "SUB", {sub eax, ebx}, STORE
        PRECISE "SUB of words", {sub ax, bx}, LOAD
        PRECISE "XOR", {xor eax, ebx}, UDEF
        PRECISE "CMP", {cmp eax, ebx}, STORE
        PRECISE "CMP of bytes", {cmp al, bl}, SOFT
        PRECISE "TEST", {test eax, ebx}, LOAD
        PRECISE "INC", inc eax, STORE
        PRECISE "INC of a byte", inc al, LOAD
        PRECISE "DEC", dec ebx, DIVZ
        PRECISE "NEG", neg eax, STORE
        PRECISE "NOT", not eax, STORE
        PRECISE "SHL by 1", {shl eax, 1}, STORE
        PRECISE "SHL by 5", {shl eax, 5}, LOAD
        PRECISE "SHL by CL", {shl eax, cl}, STORE
        PRECISE "SHL by 32", {shl eax, 32}, STORE
        PRECISE "SHR", {shr eax, 3}, UDEF
        PRECISE "SAR", {sar ebx, 3}, STORE
        PRECISE "SAR of a byte", {sar bl, cl}, LOAD
        PRECISE "ROL", {rol eax, 1}, STORE
        PRECISE "ROR", {ror eax, 5}, LOAD
        PRECISE "RCL", {rcl eax, 1}, STORE
        PRECISE "RCR", {rcr eax, 3}, DIVZ
        PRECISE "SHLD", {shld eax, ebx, 4}, STORE
        PRECISE "SHRD", {shrd eax, ebx, cl}, LOAD
        PRECISE "IMUL", {imul eax, ebx}, STORE
        PRECISE "MUL", mul ebx, UDEF
        PRECISE "BT", {bt eax, 3}, STORE
        PRECISE "BTS", {bts eax, ebx}, LOAD
        PRECISE "BSF", {bsf eax, ebx}, STORE
        PRECISE "CMPXCHG", {cmpxchg ebx, ecx}, STORE
        PRECISE "XADD", {xadd eax, ebx}, STORE
        PRECISE "DAA", daa, LOAD
        PRECISE "DAS", das, STORE
        PRECISE "AAA", aaa, STORE
        PRECISE "AAD", aad, LOAD
        PRECISE "SAHF", sahf, STORE
        PRECISE "CMC", cmc, STORE
        PRECISE "CLC", clc, LOAD
        PRECISE "ADD to memory", {add [memory], ebx}, STORE
        PRECISE "LOCK ADD to memory", {lock add [memory], ebx}, STORE
        PRECISE "INC of memory", {inc dword [memory]}, LOAD
        PRECISE "CMP with memory", {cmp [memory], eax}, UDEF
        PRECISE "SCASD", {scasd}, STORE
        ; registers behind several instructions of a block
        mov eax, 1
        mov ebx, 2
        mov ecx, 3
        TRY
        inc eax
        xchg ebx, ecx
        lea edx, [eax + ebx * 4]
        push edx
        mov [ABSENT_], edx
        inc eax
        pop edx
        ENDTRY
        CHECK "registers in the middle of a block: EAX", eax, 2
        CHECK "registers in the middle of a block: EBX", ebx, 3
        CHECK "registers in the middle of a block: EDX", edx, 14
        mov esi, [snap_esp]
        sub esi, [exc_esp]
        CHECK "registers in the middle of a block: ESP", esi, 4
        ; a fault in a loop, restarted
        PAGE 0, 7
        PAGE 1, 0
        mov edi, VA(0) + 0xFF8
        mov ecx, 8
        xor eax, eax
        TRY
.fill:  mov [edi], ecx
        add edi, 4
        add eax, ecx
        loop .fill
        ENDTRY
        CHECK "fault in a loop: ECX", ecx, 6
        CHECK "fault in a loop: EDI", edi, VA(1)
        CHECK "fault in a loop: EAX", eax, 15
        PAGE 1, 7
        jmp .resume
.refill: mov [edi], ecx
        add edi, 4
        add eax, ecx
.resume: mov [edi], ecx
        add edi, 4
        add eax, ecx
        loop .resume
        CHECK "the loop goes on", eax, 36
        SETCR0 0x80000000, 0

        ; ---- changes that the next instruction sees ----
        DESC T0, PAGES, 0xFFFF, A_DATA, 4
        DESC T1, PAGES + 0x100, 0xFFFF, A_DATA, 4
        mov dword [PAGES], 0x0A0A0A0A
        mov dword [PAGES + 0x100], 0x0B0B0B0B
        mov eax, T0
        mov ebx, T1
        mov es, ax
        mov ecx, [es:0]
        mov es, bx
        mov edx, [es:0]
        mov es, ax
        mov esi, [es:0]
        CHECK "segment base, first", ecx, 0x0A0A0A0A
        CHECK "segment base, changed", edx, 0x0B0B0B0B
        CHECK "segment base, changed back", esi, 0x0A0A0A0A
        mov ax, UDATA
        mov es, ax
        ; DS too, flat and not
        mov eax, T0
        mov ebx, UDATA
        mov ds, ax
        mov ecx, [0]
        mov dword [4], 0x44444444
        add dword [4], 1
        mov ds, bx
        mov edx, [PAGES + 4]
        CHECK "DS with a base: read", ecx, 0x0A0A0A0A
        CHECK "DS with a base: write and add", edx, 0x44444445
        ; 16- and 32-bit stacks
        DESC T2, PAGES, 0xFFFF, A_DATA, 0
        mov esi, esp
        mov eax, T2
        mov ebx, KDATA
        mov ss, ax
        mov esp, 0x12340100
        push dword 0x77777777
        mov ecx, esp
        pop edx
        mov ss, bx
        mov esp, esi
        CHECK "16-bit stack in between: ESP", ecx, 0x123400FC
        CHECK "16-bit stack in between: value", edx, 0x77777777
        mov ecx, [PAGES + 0xFC]
        CHECK "16-bit stack in between: place", ecx, 0x77777777
        push esi
        pop ecx
        CHECK "32-bit stack again", ecx, esi
        ; one routine by way of two code segments
        DESC T3, routine, 0xFF, A_CODE, 4
        DESC T4, routine - 0x40, 0xFF, A_CODE, 4
        call KCODE:routine
        mov ebx, eax
        call T3:0
        sub ebx, eax
        CHECK "code by way of another base: offset", ebx, routine
        mov ebx, eax
        call T4:0x40
        sub eax, ebx
        CHECK "code by way of a third base: offset", eax, 0x40
        ; the same bytes as 16-bit code
        DESC T5, either, 0xFF, A_CODE, 0
        xor eax, eax
        call KCODE:either
        CHECK "bytes as 32-bit code", eax, 0x01EB0001
        xor eax, eax
        call T5:0
        CHECK "the same bytes as 16-bit code", eax, 0x00000001
        ; paging switched on in a straight line
        call build_pages
        mov dword [PTE(0)], PH(3) | 7
        mov dword [PTE(3)], PH(0) | 7
        mov dword [PH(3)], 0x33333333
        mov dword [PH(0)], 0x00000000
        mov dword [VA(0)], 0x20202020
        mov eax, PD
        mov cr3, eax
        mov ecx, cr0
        mov edx, ecx
        or edx, 0x80000000
        mov ebx, [VA(0)]
        mov cr0, edx
        mov esi, [VA(0)]
        mov cr0, ecx
        mov edi, [VA(0)]
        CHECK "paging off", ebx, 0x20202020
        CHECK "paging on", esi, 0x33333333
        CHECK "paging off again", edi, 0x20202020
        ; ring 3 and back keep a supervisor page from the user
        PAGING_ON
        PAGE 4, 3
        mov dword [VA(4)], 0x5EC2E7
        TRY
        USER
        mov eax, [VA(4)]
        ENDTRY
        GOT "a page that ring 0 has just used", PF_, 5
        mov eax, [VA(4)]
        CHECK "ring 0 uses it again", eax, 0x5EC2E7
        PAGE 4, 7
        TRY
        USER
        mov ebx, [VA(4)]
        int DONE
        ENDTRY
        CHECK "ring 3 once it may", ebx, 0x5EC2E7
        SETCR0 0, CR0_WP
        PAGE 4, 5
        FAULT "WP set", PF_, 3, mov [VA(4)], eax
        SETCR0 CR0_WP, 0
        OK "WP clear", mov [VA(4)], eax
        SETCR0 0, CR0_WP
        FAULT "WP set again", PF_, 3, mov [VA(4)], eax
        SETCR0 0x80000000 | CR0_WP, 0

        ; ---- local APIC: an interrupt to itself, NMI ----
        mov ecx, 0x1B
        rdmsr
        CHECKMASK "local APIC: base and enable", eax, 0xFFFFF800, 0xFEE00800
        mov dword [0xFEE000F0], 0x1FF
        IDTGATE 0x70, KCODE, .ipi, 0x8E
        IDTGATE 2, KCODE, .nmi, 0x8E
        mov dword [seen], 0
        mov dword [0xFEE00300], 0x44070         ; fixed, self, vector 0x70
        nop
        nop
        CHECK "local APIC: CLI keeps it out", dword [seen], 0
        CHECKMASK "local APIC: request register", dword [0xFEE00270 - 0x40], 0x10000, 0x10000
        sti
        nop
        nop
        cli
        CHECK "local APIC: interrupt to itself", dword [seen], 1
        CHECKMASK "local APIC: in-service register in the handler", dword [inservice], 0x10000, 0x10000
        CHECKMASK "local APIC: in-service register after EOI", dword [0xFEE00130], 0x10000, 0
        mov dword [nmis], 0
        mov dword [0xFEE00310], 0
        mov dword [0xFEE00300], 0x04400         ; NMI to APIC 0
        nop
        nop
        CHECK "NMI comes despite CLI", dword [nmis], 1
        mov dword [nested], 2
        mov dword [nmis], 0
        mov dword [0xFEE00300], 0x04400
        nop
        nop
        nop
        CHECK "NMI inside its handler waits for IRET", dword [depth], 1
        CHECK "and comes then", dword [nmis], 2

        ; ---- near transfers beyond the limit of CS: the fault is the transfer's, nothing has moved ----
        DESC T6, limited, 0xFF, A_CODE, 4
%macro BEYOND 2                 ; name, offset in `limited`
        mov eax, 0x100
        mov ecx, 5
        push dword 0x100
        TRY
        or eax, eax
        jmp T6:%2
        ENDTRY
        GOT {%1, " beyond the limit"}, GP, 0
        CHECK {%1, " beyond the limit: EIP"}, dword [exc_eip], %2
        mov edi, [exc_esp]
        sub edi, [snap_esp]
        CHECK {%1, " beyond the limit: ESP"}, edi, 0
        CHECK {%1, " beyond the limit: ECX"}, ecx, 5
        add esp, 4
%endmacro
        BEYOND "JMP short", 0x00
        BEYOND "JMP near", 0x10
        BEYOND "JNZ taken", 0x20
        BEYOND "LOOP", 0x30
        BEYOND "CALL near", 0x40
        BEYOND "RET near", 0x50
        BEYOND "JMP EAX", 0x60
        BEYOND "CALL EAX", 0x70
        BEYOND "RET near with parameters", 0x80
        TRY
        jmp T6:0x90
        ENDTRY
        GOT "JZ not taken to beyond the limit", DONE, NONE
        TRY
        jmp T6:0xA0
        ENDTRY
        GOT "a jump to the last byte of the limit", GP, 0
        CHECK "whose next instruction is beyond", dword [exc_eip], 0x100
        ; 16-bit operands cut EIP
        mov eax, 0x12340000 + 0x90
        TRY
        jmp T6:0xB0
        ENDTRY
        GOT "JMP AX cuts EIP to 16 bits", DONE, NONE
        push word 0x90
        TRY
        jmp T6:0xC0
        ENDTRY
        GOT "16-bit RET cuts EIP to 16 bits", DONE, NONE
        add esp, 2
        ret
.ipi:   inc dword [ss:seen]
        push eax
        mov eax, [ss:0xFEE00130]
        mov [ss:inservice], eax
        mov dword [ss:0xFEE000B0], 0
        pop eax
        iretd
.nmi:   inc dword [ss:nmis]
        inc dword [ss:level]
        push eax
        mov eax, [ss:level]
        cmp eax, [ss:depth]
        jbe .flat
        mov [ss:depth], eax
.flat:  cmp dword [ss:nested], 0
        je .plain
        dec dword [ss:nested]
        cmp dword [ss:nested], 0
        je .plain
        mov dword [ss:0xFEE00300], 0x04400
        nop
        nop
        nop
.plain: dec dword [ss:level]
        pop eax
        iretd

routine: call .here
.here:  pop eax
        retf
either: db 0xB8, 1, 0, 0xEB, 1          ; mov eax, 0x01EB0001 / mov ax, 1; jmp short + 1
        db 0xCB                         ; retf
        db 0x66, 0xCB                   ; 32-bit retf in 16-bit code
        align 16
limited:
        jmp short $ - 0x10              ; below 0: beyond, too
        times 0x10 - ($ - limited) nop
        jmp near limited + 0x100
        times 0x20 - ($ - limited) nop
        jnz short $ - 0x30              ; ZF is clear: see BEYOND
        times 0x30 - ($ - limited) nop
        loop $ - 0x40
        times 0x40 - ($ - limited) nop
        call limited + 0x100
        times 0x50 - ($ - limited) nop
        ret
        times 0x60 - ($ - limited) nop
        jmp eax
        times 0x70 - ($ - limited) nop
        call eax
        times 0x80 - ($ - limited) nop
        ret 8
        times 0x90 - ($ - limited) nop
        cmp esp, 0
        jz near limited + 0x100
        int DONE
        times 0xA0 - ($ - limited) nop
        jmp short limited + 0xFF
        times 0xB0 - ($ - limited) nop
        jmp ax
        times 0xC0 - ($ - limited) nop
        o16 ret
        times 0x100 - ($ - limited) nop

section .data
align 8
want:   dd 0
zero:   dd 0
memory: dd 0x12345678
seen:   dd 0
inservice: dd 0
nmis:   dd 0
nested: dd 0
level:  dd 0
depth:  dd 0
section .text
