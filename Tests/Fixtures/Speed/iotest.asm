; Reads or writes a block device past the guest's cache, for Tests/speed-disk.sh. A static ELF program for 32-bit Linux.
;
;   nasm -f bin -o iotest iotest.asm
;   iotest DEVICE r|w s|r BYTES COUNT SPAN     blocks of BYTES, one after the other or at random among SPAN blocks; writes end with fsync
bits 32
        org 0x08048000
ehdr:   db 0x7F, "ELF", 1, 1, 1
        times 9 db 0
        dw 2, 3
        dd 1, start, phdr - ehdr, 0, 0
        dw 52, 32, 1, 0, 0, 0
phdr:   dd 1, 0, ehdr, ehdr, file_end - ehdr, bss_end - ehdr, 7, 0x1000

start:  mov esi, esp                    ; argc, argv[0], DEVICE, r|w, s|r, BYTES, COUNT, SPAN
        mov ebx, [esi + 8]
        mov ecx, 0o40002 | 0o100000     ; O_RDWR | O_DIRECT | O_LARGEFILE
        mov eax, 5                      ; open
        int 0x80
        test eax, eax
        js fail
        mov [fd], eax
        mov eax, [esi + 12]
        mov al, [eax]
        mov [mode], al
        mov eax, [esi + 16]
        mov al, [eax]
        mov [order], al
        mov eax, [esi + 20]
        call number
        mov [bytes], ebp
        mov eax, [esi + 24]
        call number
        mov [count], ebp
        mov eax, [esi + 28]
        call number
        mov [span], ebp
        mov edi, buffer                 ; no zeros: an image may leave them out
        mov ecx, 1 << 18
        mov eax, 0x12345677
fill:   imul eax, eax, 1664525
        add eax, 1013904223
        stosd
        loop fill
        xor edi, edi                    ; number of the block
        mov dword [seed], 12345
next:   cmp dword [count], 0
        je done
        dec dword [count]
        cmp byte [order], 's'
        je place
        mov eax, [seed]
        imul eax, eax, 1664525
        add eax, 1013904223
        mov [seed], eax
        shr eax, 4
        xor edx, edx
        div dword [span]
        mov edi, edx
place:  mov eax, edi
        mul dword [bytes]
        mov ebx, [fd]
        mov ecx, buffer
        mov esi, eax
        push edx
        mov eax, 180                    ; pread64: fd, buffer, bytes, offset low, high
        cmp byte [mode], 'r'
        je go
        inc eax                         ; pwrite64
go:     pop ebp                         ; the high half; there is no more of it than that
        push edi
        mov edi, ebp
        mov edx, [bytes]
        ; The system call takes the offset in esi and edi.
        int 0x80
        pop edi
        cmp eax, [bytes]
        jne fail
        inc edi
        jmp next
done:   cmp byte [mode], 'r'
        je ok
        mov ebx, [fd]
        mov eax, 118                    ; fsync
        int 0x80
        test eax, eax
        jnz fail
ok:     xor ebx, ebx
        jmp exit
fail:   mov ebx, 1
exit:   mov eax, 1
        int 0x80

; Decimal text at eax to ebp.
number: xor ebp, ebp
digit:  movzx edx, byte [eax]
        sub edx, '0'
        cmp edx, 9
        ja end
        imul ebp, ebp, 10
        add ebp, edx
        inc eax
        jmp digit
end:    ret
file_end:
        absolute 0x0804A000
buffer: resb 1 << 20
fd:     resd 1
mode:   resd 1
order:  resd 1
bytes:  resd 1
count:  resd 1
span:   resd 1
seed:   resd 1
bss_end:
