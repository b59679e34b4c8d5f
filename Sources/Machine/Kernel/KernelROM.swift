/// The option ROM that starts a kernel of the host's: firmware runs it as a boot device, it hands over to `KernelLoader`.
///
/// Source: Compaq/Phoenix/Intel *Plug and Play BIOS Specification* 1.0A, section 3 (option ROM header, BEV); ACPI 6.5,
/// "INT 15H, E820H"; Intel SDM Vol. 3A, "Switching to Protected Mode".
///
/// The firmware lists it as `/rom@genroms/vitrine-boot.bin` in its boot order. Its bootstrap entry turns A20 on, stores the
/// firmware's memory map at `mapCount`, writes 1 to the hook port (the board stops, the host places the kernel and fills the
/// parameter block) and then goes where the parameter block says: into the 16-bit set-up code of a Linux kernel, or through
/// its own GDT into 32-bit code. All processor state is set by this code, never from outside.
///
///     address  bytes  parameter block, little-endian
///     0x7C00     2    1: real mode, 2: protected mode
///     0x7C02     2    real mode: segment of the set-up code; it is entered 0x20 paragraphs further
///     0x7C04     2    real mode: SP
///     0x7C08     4    protected mode: EAX
///     0x7C0C     4    protected mode: EBX
///     0x7C10     4    protected mode: EIP
///     0x7C14     6    protected mode: operand of LGDT
///     0x7C20    24    protected mode: GDT (null, flat code 0x08, flat data 0x10)
///     0x7D00    36    the ROM's 32-bit code, copied here
///     0x7E00     2    entries in the memory map; from 0x7E04 on 20 bytes each, 96 at most
enum KernelROM {
    /// Name of the fw_cfg file, and its line in the firmware's boot order.
    static let fileName = "genroms/vitrine-boot.bin"
    static let bootOrderLine = "/rom@genroms/vitrine-boot.bin"

    static let parameters: UInt64 = 0x7C00
    static let gdt: UInt64 = 0x7C20
    static let mapCount: UInt64 = 0x7E00
    static let map: UInt64 = 0x7E04
    static let mapLimit = 96
    /// Low memory that the ROM uses while the kernel is placed.
    static let used: Range<UInt64> = 0x7000..<0x8600

    /// The image, 512 bytes, with the hook port and both checksums filled in.
    static func image(hookPort: UInt16) -> [UInt8] {
        var image = code + [UInt8](repeating: 0, count: 512 - code.count)
        image[hookOperand] = UInt8(truncatingIfNeeded: hookPort)
        image[hookOperand + 1] = UInt8(truncatingIfNeeded: hookPort >> 8)
        image[0x29] = 0 &- image[0x20..<0x40].reduce(0, &+)
        image[511] = 0 &- image.reduce(0, &+)
        return image
    }

    /// Offset of the immediate operand of the `mov dx` before the hook.
    private static let hookOperand = 0x9A

    // Assembled with nasm; columns: bytes, offset, source.
    private static let code: [UInt8] = [
            0x55, 0xAA,                                          // 0000 dw 0xAA55
            0x01,                                                // 0002 db 1
            0xE9, 0x3A, 0x00,                                    // 0003 jmp near init
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // 0006 times 0x1A-($-rom) db 0
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
            0x20, 0x00,                                          // 001A dw pnp
            0x00, 0x00, 0x00, 0x00,                              // 001C times 0x20-($-rom) db 0
            // pnp:
            0x24, 0x50, 0x6E, 0x50, 0x01, 0x02,                  // 0020 db '$PnP', 1, 2
            0x00, 0x00,                                          // 0026 dw 0
            0x00,                                                // 0028 db 0
            0x00,                                                // 0029 db 0
            0x00, 0x00, 0x00, 0x00,                              // 002A dd 0
            0x13, 0x01,                                          // 002E dw maker
            0x1B, 0x01,                                          // 0030 dw product
            0x00, 0x00, 0x00,                                    // 0032 db 0, 0, 0
            0x64,                                                // 0035 db 0x64
            0x00, 0x00,                                          // 0036 dw 0
            0x00, 0x00,                                          // 0038 dw 0
            0x44, 0x00,                                          // 003A dw bev
            0x00, 0x00,                                          // 003C dw 0
            0x00, 0x00,                                          // 003E dw 0
            // init:
            0xB8, 0x20, 0x00,                                    // 0040 mov ax, 0x0020
            0xCB,                                                // 0043 retf
            // bev:
            0xFA,                                                // 0044 cli
            0xFC,                                                // 0045 cld
            0x31, 0xC0,                                          // 0046 xor ax, ax
            0x8E, 0xD8,                                          // 0048 mov ds, ax
            0x8E, 0xC0,                                          // 004A mov es, ax
            0x8E, 0xD0,                                          // 004C mov ss, ax
            0xBC, 0x00, 0x7C,                                    // 004E mov sp, PARAM
            0xFB,                                                // 0051 sti
            0xB8, 0x01, 0x24,                                    // 0052 mov ax, 0x2401
            0xCD, 0x15,                                          // 0055 int 0x15
            0xE4, 0x92,                                          // 0057 in al, 0x92
            0x0C, 0x02,                                          // 0059 or al, 2
            0x24, 0xFE,                                          // 005B and al, 0xFE
            0xE6, 0x92,                                          // 005D out 0x92, al
            0x66, 0x31, 0xDB,                                    // 005F xor ebx, ebx
            0x31, 0xED,                                          // 0062 xor bp, bp
            0xBF, 0x04, 0x7E,                                    // 0064 mov di, MAP
            // .next:
            0x66, 0xB8, 0x20, 0xE8, 0x00, 0x00,                  // 0067 mov eax, 0xE820
            0x66, 0xBA, 0x50, 0x41, 0x4D, 0x53,                  // 006D mov edx, 0x534D4150
            0x66, 0xB9, 0x14, 0x00, 0x00, 0x00,                  // 0073 mov ecx, 20
            0xCD, 0x15,                                          // 0079 int 0x15
            0x72, 0x16,                                          // 007B jc .done
            0x66, 0x3D, 0x50, 0x41, 0x4D, 0x53,                  // 007D cmp eax, 0x534D4150
            0x75, 0x0E,                                          // 0083 jne .done
            0x45,                                                // 0085 inc bp
            0x83, 0xC7, 0x14,                                    // 0086 add di, 20
            0x83, 0xFD, 0x60,                                    // 0089 cmp bp, MAPMAX
            0x73, 0x05,                                          // 008C jae .done
            0x66, 0x85, 0xDB,                                    // 008E test ebx, ebx
            0x75, 0xD4,                                          // 0091 jnz .next
            // .done:
            0x89, 0x2E, 0x00, 0x7E,                              // 0093 mov [MAPN], bp
            0xB0, 0x01,                                          // 0097 mov al, 1
            0xBA, 0x34, 0x12,                                    // 0099 mov dx, 0x1234
            0xEE,                                                // 009C out dx, al
            0x83, 0x3E, 0x00, 0x7C, 0x01,                        // 009D cmp word [PARAM], 1
            0x74, 0x0C,                                          // 00A2 je linux
            0x83, 0x3E, 0x00, 0x7C, 0x02,                        // 00A4 cmp word [PARAM], 2
            0x74, 0x21,                                          // 00A9 je flat
            0xCD, 0x18,                                          // 00AB int 0x18
            // .stop:
            0xF4,                                                // 00AD hlt
            0xEB, 0xFD,                                          // 00AE jmp .stop
            // linux:
            0xFA,                                                // 00B0 cli
            0xA1, 0x02, 0x7C,                                    // 00B1 mov ax, [PARAM+2]
            0x66, 0x0F, 0xB7, 0x26, 0x04, 0x7C,                  // 00B4 movzx esp, word [PARAM+4]
            0x8E, 0xD0,                                          // 00BA mov ss, ax
            0x8E, 0xD8,                                          // 00BC mov ds, ax
            0x8E, 0xC0,                                          // 00BE mov es, ax
            0x8E, 0xE0,                                          // 00C0 mov fs, ax
            0x8E, 0xE8,                                          // 00C2 mov gs, ax
            0x83, 0xC0, 0x20,                                    // 00C4 add ax, 0x20
            0xFB,                                                // 00C7 sti
            0x50,                                                // 00C8 push ax
            0x6A, 0x00,                                          // 00C9 push word 0
            0xCB,                                                // 00CB retf
            // flat:
            0xFA,                                                // 00CC cli
            0xBE, 0xEF, 0x00,                                    // 00CD mov si, stub
            0xBF, 0x00, 0x7D,                                    // 00D0 mov di, STUB
            0xB9, 0x24, 0x00,                                    // 00D3 mov cx, stubend-stub
            0xF3, 0x2E, 0xA4,                                    // 00D6 cs rep movsb
            0x66, 0x0F, 0x01, 0x16, 0x14, 0x7C,                  // 00D9 o32 lgdt [PARAM+20]
            0x0F, 0x20, 0xC0,                                    // 00DF mov eax, cr0
            0x0C, 0x01,                                          // 00E2 or al, 1
            0x0F, 0x22, 0xC0,                                    // 00E4 mov cr0, eax
            0x66, 0xEA, 0x00, 0x7D, 0x00, 0x00, 0x08, 0x00,      // 00E7 jmp dword 0x08:STUB
            // stub:
            0x66, 0xB8, 0x10, 0x00,                              // 00EF mov ax, 0x10
            0x8E, 0xD8,                                          // 00F3 mov ds, eax
            0x8E, 0xC0,                                          // 00F5 mov es, eax
            0x8E, 0xE0,                                          // 00F7 mov fs, eax
            0x8E, 0xE8,                                          // 00F9 mov gs, eax
            0x8E, 0xD0,                                          // 00FB mov ss, eax
            0xBC, 0x00, 0x7C, 0x00, 0x00,                        // 00FD mov esp, PARAM
            0xA1, 0x08, 0x7C, 0x00, 0x00,                        // 0102 mov eax, [PARAM+8]
            0x8B, 0x1D, 0x0C, 0x7C, 0x00, 0x00,                  // 0107 mov ebx, [PARAM+12]
            0xFF, 0x25, 0x10, 0x7C, 0x00, 0x00,                  // 010D jmp dword [PARAM+16]
            0x56, 0x69, 0x74, 0x72, 0x69, 0x6E, 0x65, 0x00,      // 0113 maker: db 'Vitrine', 0
            0x4B, 0x65, 0x72, 0x6E, 0x65, 0x6C, 0x20, 0x66, 0x72, 0x6F, 0x6D, 0x20, // 011B product: db 'Kernel from the host', 0
            0x74, 0x68, 0x65, 0x20, 0x68, 0x6F, 0x73, 0x74, 0x00,
    ]
}
