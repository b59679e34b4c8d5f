; A boot floppy that writes to the first hard disk for ever, for Tests/kill-disks.sh: 16 sectors at a time at random places among the first
; 32768, each filled with pairs of its number and the round.
;
;   nasm -f bin -o writer.img writer.asm
bits 16
        org 0x7C00
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, 0x7C00
        cld
next:   inc dword [round]
        mov eax, [seed]
        imul eax, eax, 1664525
        add eax, 1013904223
        mov [seed], eax
        shr eax, 13
        and eax, 0x7FF0
        mov [lba], eax
        mov ebx, eax
        mov edx, [round]
        mov di, 0x8000
        mov bp, 16
sector: mov cx, 64
pair:   mov eax, ebx
        stosd
        mov eax, edx
        stosd
        loop pair
        inc ebx
        dec bp
        jnz sector
        mov si, packet
        mov ax, 0x4300
        mov dl, 0x80
        int 0x13
        jnc next
        mov al, 'E'
        out 0xE9, al
        hlt
align 4
packet: db 16, 0
        dw 16, 0x8000, 0
lba:    dd 0, 0
round:  dd 0
seed:   dd 2463534242
        times 510 - ($ - $$) db 0
        dw 0xAA55
        times 1474560 - ($ - $$) db 0
