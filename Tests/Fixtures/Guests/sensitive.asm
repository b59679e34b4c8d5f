; The 17 sensitive instructions, each once in ring 0, in ring 3 and in virtual-8086 mode, and what each returned: a boot floppy.
;
;       nasm -f bin -o sensitive.bin sensitive.asm              the sectors that Sources/Machine/Guests/SensitiveGuest.swift holds
;       nasm -f bin -DMETAL -o metal.bin sensitive.asm          the same as a 64 KiB BIOS: nothing else runs, every count is known
;
; A snippet ends in UD2: an exception there means that it ran, one before it that it faulted. Nothing around the snippets is sensitive
; but the IRETD into ring 3 and V86 mode, and what enters protected mode. All data is reached through SS, whose base is 0 in every mode.
cpu 686
org 0x7C00

KCODE   equ 0x08
KDATA   equ 0x10
UCODE   equ 0x18
UDATA   equ 0x20
TSS     equ 0x28
LDT     equ 0x30
KSTACK  equ 0x7000
ESP0    equ 0x6800
USTACK  equ 0x6000
V86SP   equ 0x5800
SCREEN  equ 0xB8000
GATE    equ 0x40                ; INT GATE is open to ring 3

bits 16
boot:
%ifndef METAL
        jmp 0:.here
.here:  cli
        xor ax, ax
        mov ss, ax
        mov sp, 0x7000
        mov es, ax
        mov ax, 0x0200 + SECTORS - 1
        mov bx, 0x7E00
        mov cx, 0x0002
        mov dh, 0
        int 0x13
        jc boot
        mov ax, 3               ; text mode 80x25, a clean screen
        int 0x10
        mov ah, 1
        mov cx, 0x2000          ; no cursor
        int 0x10
%endif
enter:  cli
        mov al, 0xFF            ; no interrupts: SeaBIOS's timer is nothing to us
        out 0x21, al
        out 0xA1, al
        lgdt [cs:gdtr]
        lidt [cs:idtr]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp KCODE:main
%ifndef METAL
        times 510 - ($ - $$) db 0
        dw 0xAA55
%endif

bits 32
main:   mov eax, KDATA
        mov ss, ax
        mov esp, KSTACK
        mov ax, LDT
        lldt ax
        mov ax, TSS
        ltr ax
        ; 32 exceptions, 8 bytes of code each, and GATE
        xor ecx, ecx
.fill:  lea eax, [ecx * 8 + stubs]
        mov word [ss:idt + ecx * 8], ax
        mov dword [ss:idt + ecx * 8 + 2], KCODE
        mov word [ss:idt + ecx * 8 + 5], 0x8E
        inc ecx
        cmp ecx, 32
        jb .fill
        mov word [ss:idt + GATE * 8], gate
        mov dword [ss:idt + GATE * 8 + 2], KCODE
        mov word [ss:idt + GATE * 8 + 5], 0xEE
        mov esi, title
        mov edi, SCREEN
        call print
        mov esi, heads
        mov edi, SCREEN + 2 * 160
        call print
        mov ebp, rows
        mov edi, SCREEN + 3 * 160
.row:   movzx esi, word [ss:ebp]
        push edi
        call print
        pop edi
        xor ecx, ecx
.mode:  push edi
        imul eax, ecx, 2 * 20
        lea edi, [edi + eax + 2 * 16]
        call run
        call cell
        pop edi
        inc ecx
        cmp ecx, 3
        jb .mode
        add edi, 160
        add ebp, 12
        cmp ebp, rows.end
        jb .row
        mov esi, foot
        mov edi, SCREEN + 21 * 160
        call print
        mov al, 0
        out 0xF4, al
.stop:  hlt
        jmp .stop

; Runs the snippet of row EBP in mode ECX: 0 ring 0, 1 ring 3, 2 V86.
run:    pushad
        mov [ss:saved], esp
        movzx ebx, word [ss:ebp + 2]
        movzx edi, word [ss:ebp + 4]
        xor eax, eax
        mov edx, KDATA
        cmp ecx, 1
        je .ring3
        ja .v86
        mov [ss:finish], edi
        jmp ebx
.ring3: mov [ss:finish], edi
        push dword UDATA + 3
        push dword USTACK
        push dword 2
        push dword UCODE + 3
        push ebx
        iretd
.v86:   movzx ebx, word [ss:ebp + 6]
        movzx edi, word [ss:ebp + 8]
        mov [ss:finish], edi
        push dword 0
        push dword 0
        push dword 0
        push dword 0
        push dword 0
        push dword V86SP
        push dword 0x20002
        push dword 0
        push ebx
        iretd

; An exception or INT GATE: notes it and goes on behind `call run`.
gate:   push dword GATE
        jmp caught
stubs:
%assign n 0
%rep 32
        push byte n
        jmp near caught
        nop
%assign n n + 1
%endrep
caught: mov [ss:value], eax
        pop eax
        mov [ss:number], eax
        cmp eax, 31
        ja .frame
        mov edx, 0x00027D00     ; these push an error code
        bt edx, eax
        jnc .frame
        pop eax
.frame: pop dword [ss:place]
        pop eax
        pop dword [ss:flags]
        mov esp, [ss:saved]
        popad
        ret

; The result into the cell at EDI.
cell:   pushad
        mov eax, [ss:value]
        cmp word [ss:ebp + 10], 0
        je .plain
        mov eax, [ss:flags]
        and eax, 0x0000FFFF     ; faults set RF
.plain: cmp dword [ss:number], GATE
        je .gate
        cmp dword [ss:number], 6
        jne .fault
        mov ebx, [ss:place]
        cmp ebx, [ss:finish]
        jne .fault
.hex:   mov ecx, 8
.digit: rol eax, 4
        movzx ebx, al
        and ebx, 15
        mov bl, [ss:digits + ebx]
        mov bh, 0x0F
        mov [ss:edi], bx
        add edi, 2
        loop .digit
        popad
        ret
.gate:  mov eax, GATE
        jmp .hex
.fault: mov esi, ud
        cmp dword [ss:number], 6
        je .name
        mov esi, gp
        cmp dword [ss:number], 13
        je .name
        mov esi, other
.name:  call print
        popad
        ret

; The text at ESI to EDI: its first byte is the colour.
print:  mov ah, [ss:esi]
.next:  inc esi
        mov al, [ss:esi]
        test al, al
        jz .done
        mov [ss:edi], ax
        add edi, 2
        jmp .next
.done:  ret

; What runs: s_* in both rings, v_* in V86 mode.

s_sgdt:
.p:     sgdt [ss:buffer]
        mov eax, [ss:buffer + 2]
.pe:    ud2
s_sidt:
.p:     sidt [ss:buffer]
        mov eax, [ss:buffer + 2]
.pe:    ud2
s_sldt:
.p:     sldt eax
.pe:    ud2
s_smsw:
.p:     smsw eax
.pe:    ud2
s_pushf:
.p:     pushfd
        pop eax
.pe:    ud2
s_popf:
.p:     push dword 0x3002
        popfd
.pe:    ud2
s_lar:
.p:     lar eax, edx
.pe:    ud2
s_lsl:
.p:     lsl eax, edx
.pe:    ud2
s_ver:
.p:     verr dx
        setz al
        verw dx
        setz ah
.pe:    ud2
s_pop:
.p:     push edx
        pop es
        mov eax, edx
.pe:    ud2
s_push:
.p:     push cs
        pop eax
.pe:    ud2
s_call:
.p:     call KCODE:.in
.in:    pop eax
        pop eax
.pe:    ud2
s_jmp:
.p:     jmp KCODE:.in
.in:    mov eax, KCODE
.pe:    ud2
s_int:
.p:     int GATE
.pe:    ud2
s_ret:
.p:     push dword KCODE
        push dword .in
        retf
.in:    mov eax, KCODE
.pe:    ud2
s_str:
.p:     str eax
.pe:    ud2
s_mov:
.p:     mov eax, cs
.pe:    ud2

bits 16
v_sgdt: o32 sgdt [ss:buffer]
        mov eax, [ss:buffer + 2]
.e:     ud2
v_sidt: o32 sidt [ss:buffer]
        mov eax, [ss:buffer + 2]
.e:     ud2
v_sldt: sldt eax
.e:     ud2
v_smsw: smsw eax
.e:     ud2
v_pushf:
        pushfd
        pop eax
.e:     ud2
v_popf: push dword 0x3002
        popfd
.e:     ud2
v_lar:  lar eax, edx
.e:     ud2
v_lsl:  lsl eax, edx
.e:     ud2
v_ver:  verr dx
        setz al
        verw dx
        setz ah
.e:     ud2
v_pop:  push dx
        pop es
        mov eax, edx
.e:     ud2
v_push: push cs
        pop ax
.e:     ud2
v_call: call 0:.in
.in:    pop ax
        pop ax
.e:     ud2
v_jmp:  jmp 0:.in
.in:    mov eax, 0
.e:     ud2
v_int:  int GATE
.e:     ud2
v_ret:  push word 0
        push word .in
        retf
.in:    mov eax, 0
.e:     ud2
v_str:  str eax
.e:     ud2
v_mov:  mov eax, cs
.e:     ud2

align 4
; name, protected-mode snippet, its end, V86 snippet, its end, 1: the result is EFLAGS
%macro ROW 2
        dw n_%1, s_%1.p, s_%1.pe, v_%1, v_%1.e, %2
%endmacro
rows:
        ROW sgdt, 0
        ROW sidt, 0
        ROW sldt, 0
        ROW smsw, 0
        ROW pushf, 0
        ROW popf, 1
        ROW lar, 0
        ROW lsl, 0
        ROW ver, 0
        ROW pop, 0
        ROW push, 0
        ROW call, 0
        ROW jmp, 0
        ROW int, 0
        ROW ret, 0
        ROW str, 0
        ROW mov, 0
.end:
n_sgdt: db 7, "SGDT", 0
n_sidt: db 7, "SIDT", 0
n_sldt: db 7, "SLDT", 0
n_smsw: db 7, "SMSW", 0
n_pushf: db 7, "PUSHF", 0
n_popf: db 7, "POPF", 0
n_lar:  db 7, "LAR", 0
n_lsl:  db 7, "LSL", 0
n_ver:  db 7, "VERR, VERW", 0
n_pop:  db 7, "POP ES", 0
n_push: db 7, "PUSH CS", 0
n_call: db 7, "CALL far", 0
n_jmp:  db 7, "JMP far", 0
n_int:  db 7, "INT 40h", 0
n_ret:  db 7, "RET far", 0
n_str:  db 7, "STR", 0
n_mov:  db 7, "MOV EAX, CS", 0
title:  db 0x0F, "The 17 sensitive instructions, and what each returned", 0
heads:  db 0x0E, "                ring 0              ring 3              V86, IOPL 0", 0
foot:   db 7, "A number: it ran, and nobody was told. #GP, #UD: it trapped. Done.", 0
ud:     db 0x0C, "#UD", 0
gp:     db 0x0C, "#GP", 0
other:  db 0x0C, "another fault", 0
digits: db "0123456789ABCDEF"

align 8
gdt:    dq 0
        dq 0x00CF9B000000FFFF   ; KCODE
        dq 0x00CF93000000FFFF   ; KDATA
        dq 0x00CFFB000000FFFF   ; UCODE
        dq 0x00CFF3000000FFFF   ; UDATA
        dw 0x67, tss            ; TSS
        db 0, 0x89, 0, 0
        dw 7, gdt               ; LDT: one null descriptor
        db 0, 0x82, 0, 0
gdt_end:
gdtr:   dw gdt_end - gdt - 1
        dd gdt
idtr:   dw GATE * 8 + 7
        dd idt
tss:    dd 0, ESP0, KDATA
        times 0x68 - 12 db 0
code_end:
%ifndef METAL
        times (512 - ($ - $$) % 512) % 512 db 0
SECTORS equ ($ - $$) / 512
%else
        times 0xFFC0 - ($ - $$) db 0
        ; F000:FFC0: the image to 0:7C00
bits 16
reset:  mov ax, 0xF000
        mov ds, ax
        xor ax, ax
        mov es, ax
        xor si, si
        mov di, 0x7C00
        mov cx, code_end - boot
        cld
        rep movsb
        jmp 0:enter
        times 0xFFF0 - ($ - $$) db 0
        jmp 0xF000:0xFFC0
        times 0x10000 - ($ - $$) db 0
%endif

absolute 0x5000
idt:    resb (GATE + 1) * 8
buffer: resb 8
saved:  resd 1
finish: resd 1
value:  resd 1
number: resd 1
place:  resd 1
flags:  resd 1
