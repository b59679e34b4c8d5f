; String instructions: directions, overlap, prefixes, address sizes, segment limits in the middle, ROM, code.
%include "metal.inc"

SRC     equ PAGES
DST     equ PAGES + 0x4000

; SUM of memory [address, address + bytes) in EAX, position-dependent
%macro SUM 2
        push esi
        push ecx
        mov esi, %1
        mov ecx, %2
        call checksum
        pop ecx
        pop esi
%endmacro
; REFERENCE bytes: what MOVSB one at a time makes of the same copy, sum in EBX. ESI, EDI, ECX as for the instruction
%macro FILL 0
        call fill
%endmacro
; COPY name, instruction, size, ECX, ESI, EDI: REP against single steps of the same instruction
%macro COPY 6
        FILL
        mov ecx, %4
        mov esi, %5
        mov edi, %6
%%one:  %2
        loop %%one
        mov [end_esi], esi
        mov [end_edi], edi
        SUM SRC - 0x100, 0x5100
        mov ebx, eax
        FILL
        mov ecx, %4
        mov esi, %5
        mov edi, %6
        rep %2
        SUM SRC - 0x100, 0x5100
        CHECK {%1, ": memory"}, eax, ebx
        CHECK {%1, ": ECX"}, ecx, 0
        sub esi, [end_esi]
        CHECK {%1, ": ESI"}, esi, 0
        sub edi, [end_edi]
        CHECK {%1, ": EDI"}, edi, 0
%endmacro
; LIMIT name, instruction, ECX, ESI, EDI, vector, then ECX, ESI, EDI at the fault
%macro LIMIT 9
        mov ecx, %3
        mov esi, %4
        mov edi, %5
        TRY
        %2
        ENDTRY
        GOT {%1}, %6, 0
        CHECK {%1, ": ECX"}, ecx, %7
        CHECK {%1, ": ESI"}, esi, %8
        CHECK {%1, ": EDI"}, edi, %9
%endmacro

main:
        COPY "MOVSB apart", movsb, 1, 1000, SRC + 3, DST + 5
        COPY "MOVSB upwards over itself, distance 1", movsb, 1, 500, SRC, SRC + 1
        COPY "MOVSB upwards over itself, distance 3", movsb, 1, 500, SRC, SRC + 3
        COPY "MOVSB downwards over itself", movsb, 1, 500, SRC + 3, SRC
        COPY "MOVSW over itself, distance 1", movsw, 2, 300, SRC, SRC + 1
        COPY "MOVSW over itself, distance 3", movsw, 2, 300, SRC + 1, SRC + 4
        COPY "MOVSD over itself, distance 2", movsd, 4, 300, SRC, SRC + 2
        COPY "MOVSD over itself, distance 4", movsd, 4, 300, SRC, SRC + 4
        COPY "MOVSD over itself, distance -1", movsd, 4, 300, SRC + 1, SRC
        COPY "MOVSD across pages", movsd, 4, 2100, SRC + 2, DST + 1
        std
        COPY "MOVSB, DF set", movsb, 1, 500, SRC + 600, DST + 700
        std
        COPY "MOVSB over itself, DF set, distance 1", movsb, 1, 500, SRC + 600, SRC + 599
        std
        COPY "MOVSD over itself, DF set, distance 4", movsd, 4, 300, SRC + 0x800, SRC + 0x804
        std
        COPY "MOVSW, DF set, distance -3", movsw, 2, 300, SRC + 0x803, SRC + 0x800
        cld
        FILL
        COPY "STOSB", stosb, 1, 77, 0, DST + 1
        COPY "STOSW", stosw, 2, 2100, 0, DST - 1
        COPY "STOSD", stosd, 4, 1100, 0, DST - 3
        std
        COPY "STOSD, DF set", stosd, 4, 1100, 0, DST + 0x1001
        cld
        ; LODS, SCAS, CMPS
        FILL
        mov esi, SRC
        mov ecx, 10
        rep lodsb
        movzx eax, al
        movzx ebx, byte [SRC + 9]
        CHECK "REP LODSB loads the last one", eax, ebx
        mov edi, DST
        mov ecx, 100
        xor eax, eax
        rep stosb
        mov byte [DST + 40], 7
        mov edi, DST
        mov ecx, 100
        repe scasb
        CHECK "REPE SCASB: ECX", ecx, 59
        CHECK "REPE SCASB: EDI", edi, DST + 41
        pushfd
        pop ebx
        CHECKMASK "REPE SCASB: flags of 0 - 7", ebx, FL_ZF | FL_CF | FL_SF | FL_AF, FL_CF | FL_SF | FL_AF
        mov edi, DST
        mov ecx, 100
        mov al, 7
        repne scasb
        CHECK "REPNE SCASB: ECX", ecx, 59
        mov edi, DST
        mov ecx, 30
        repne scasb
        CHECK "REPNE SCASB to the end: ECX", ecx, 0
        pushfd
        pop ebx
        CHECKMASK "REPNE SCASB to the end: ZF", ebx, FL_ZF, 0
        mov edi, DST
        mov ecx, 0
        cmp ecx, ecx
        repne scasb
        pushfd
        pop ebx
        CHECKMASK "REPNE SCASB with ECX 0 leaves the flags", ebx, FL_ZF, FL_ZF
        CHECK "REPNE SCASB with ECX 0 leaves EDI", edi, DST
        FILL
        mov esi, SRC
        mov edi, DST
        mov ecx, 400
        rep movsd
        inc byte [DST + 1001]
        mov esi, SRC
        mov edi, DST
        mov ecx, 2000
        repe cmpsb
        CHECK "REPE CMPSB: ECX", ecx, 998
        CHECK "REPE CMPSB: ESI", esi, SRC + 1002
        mov esi, SRC
        mov edi, DST
        mov ecx, 400
        repe cmpsd
        CHECK "REPE CMPSD: ECX", ecx, 149
        pushfd
        pop ebx
        CHECKMASK "REPE CMPSD: ESI minus EDI operand is below", ebx, FL_CF | FL_ZF, FL_CF
        mov esi, SRC + 1
        mov edi, DST
        mov ecx, 5
        repne cmpsb
        CHECK "REPNE CMPSB over different bytes: ECX", ecx, 0
        ; F2 before MOVS and STOS is REP
        mov ecx, 5
        mov edi, DST
        repne stosb
        CHECK "REPNE STOSB repeats", ecx, 0
        CHECK "REPNE STOSB: EDI", edi, DST + 5
        ; segments: the source may be overridden, the destination not
        DESC T0, SRC, 0xFFF, A_DATA, 4
        mov ax, T0
        mov gs, ax
        mov dword [SRC], 0xAABBCCDD
        mov esi, 0
        mov edi, DST
        gs movsd
        CHECK "MOVSD with GS", dword [DST], 0xAABBCCDD
        mov esi, 0
        gs lodsd
        CHECK "LODSD with GS", eax, 0xAABBCCDD
        mov edi, DST + 8
        mov eax, 0x99
        gs stosd
        CHECK "STOSD ignores GS", dword [DST + 8], 0x99
        ; 16-bit addresses
        mov es, [tzero]
        DESC T1, SRC, 0xFFFF, A_DATA, 0
        mov ax, T1
        mov es, ax
        mov byte [SRC], 0
        mov byte [SRC + 0xFFFF], 0
        mov edi, 0x1234FFFE
        mov ecx, 0x55550003
        mov al, 0x5A
        a16 rep stosb
        CHECK "REP STOSB with 16-bit addresses wraps: EDI", edi, 0x12340001
        CHECK "REP STOSB with 16-bit addresses: ECX", ecx, 0x55550000
        movzx eax, byte [SRC]
        CHECK "and writes at 0", eax, 0x5A
        mov ax, UDATA
        mov es, ax
        ; limits
        DESC T2, DST, 0x1F, A_DATA, 4
        mov ax, T2
        mov es, ax
        mov eax, 0
        LIMIT "REP STOSB to the limit", rep stosb, 100, 7, 0, GP, 68, 7, 32
        LIMIT "REP STOSD to the limit", rep stosd, 100, 7, 2, GP, 93, 7, 30
        LIMIT "REP MOVSW to the limit", rep movsw, 100, SRC, 16, GP, 92, SRC + 16, 32
        mov dword [DST + 20], 0
        mov dword [DST + 24], 0
        mov dword [DST + 28], 0
        mov al, 0
        LIMIT "REP SCASB to the limit", repe scasb, 100, 7, 20, GP, 88, 7, 32
        mov es, [tu]
        mov gs, [t2]
        LIMIT "REP MOVSD out of the limit", gs rep movsd, 100, 0, DST + 0x100, GP, 92, 32, DST + 0x120
        LIMIT "REP LODSB out of the limit", gs rep lodsb, 100, 0, 7, GP, 68, 32, 7
        std
        LIMIT "REP LODSB downwards under 0", gs rep lodsb, 100, 4, 7, GP, 95, -1, 7
        cld
        mov es, [t2]
        std
        LIMIT "REP STOSW downwards under 0", rep stosw, 100, 7, 5, GP, 97, 7, -1
        cld
        DESC T3, DST, 0x0F, A_DOWN, 4
        mov es, [t3]
        LIMIT "expand-down: REP STOSB at the limit", rep stosb, 100, 7, 8, GP, 100, 7, 8
        std
        LIMIT "expand-down: REP STOSD downwards to the limit", rep stosd, 100, 7, 0x18, GP, 97, 7, 12
        cld
        ; read-only, and null with a count
        DESC T4, DST, 0xFF, A_RO, 4
        mov es, [t4]
        LIMIT "REP STOSB into read-only data", rep stosb, 5, 7, 0, GP, 5, 7, 0
        mov es, [tu]
        mov gs, [tu]
        ; ROM and holes
        mov eax, [0xFFFF0]
        not eax
        mov edi, 0xFFFF0
        mov ecx, 4
        rep stosd
        not eax
        CHECK "REP STOSD into ROM changes nothing", dword [0xFFFF0], eax
        mov esi, 0xFFFF0
        mov edi, DST
        mov ecx, 4
        rep movsd
        CHECK "REP MOVSD out of ROM", dword [DST], eax
        mov edi, 0xD0000000
        mov ecx, 16
        rep stosd
        CHECK "REP STOSD where nothing is: ECX", ecx, 0
        ; over code
        FILL
        mov dword [DST], 0xC301B0
        mov edi, DST
        call edi
        mov dword [SRC], 0xC302B0
        mov esi, SRC
        mov ecx, 1
        rep movsd
        mov edi, DST
        call edi
        CHECKMASK "REP MOVSD over code", eax, 0xFF, 2
        mov eax, 0xC303B0
        mov ecx, 1
        rep stosd
        mov edi, DST
        call edi
        CHECKMASK "REP STOSD over code", eax, 0xFF, 3
        ; ports
        mov edi, DST
        mov dword [DST], 0
        mov dx, 0x92
        mov ecx, 3
        cld
        rep insb
        CHECK "REP INSB: EDI", edi, DST + 3
        in al, 0x92
        movzx eax, al
        imul eax, 0x10101
        CHECK "REP INSB reads the port", dword [DST], eax
        mov dx, 0x80
        mov esi, SRC
        mov ecx, 3
        rep outsw
        CHECK "REP OUTSW: ESI", esi, SRC + 6
        ret

fill:   push ebx
        push edi
        push ecx
        push eax
        pushfd
        cld
        mov edi, SRC - 0x100
        mov ecx, 0x5100
        mov eax, 0x1234567
.next:  imul eax, eax, 1103515245
        add eax, 12345
        mov ebx, eax
        shr ebx, 16
        mov [edi], bl
        inc edi
        loop .next
        popfd
        pop eax
        pop ecx
        pop edi
        pop ebx
        mov eax, 0x87654321
        ret
checksum:
        xor eax, eax
.next:  rol eax, 5
        xor al, [esi]
        inc esi
        loop .next
        ret

section .data
align 4
end_esi: dd 0
end_edi: dd 0
tzero:  dw 0
tu:     dw UDATA
t2:     dw T2
t3:     dw T3
t4:     dw T4
section .text
