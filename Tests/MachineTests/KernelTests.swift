import CPU
import Foundation
import Testing

@testable import Machine

/// Builds kernel images byte by byte.
enum KernelImages {
    /// A bzImage of protocol 2.12 with 4 set-up sectors and 8 KiB of protected-mode code.
    static func linux(version: UInt16 = 0x020C, high: Bool = true, systemBytes: Int = 8192) -> [UInt8] {
        var image = [UInt8](repeating: 0x90, count: 5 * 512)
        for i in 0x1F1..<0x270 { image[i] = 0 }
        image[0x1F1] = 4
        image.put(UInt32(systemBytes / 16), at: 0x1F4)
        image.put(UInt16(0xFFFF), at: 0x1FA)
        image.put(UInt16(0xAA55), at: 0x1FE)
        image.put(UInt32(0x5372_6448), at: 0x202)
        image.put(version, at: 0x206)
        image[0x211] = high ? 1 : 0
        image.put(UInt32(0x10_0000), at: 0x214)
        image.put(UInt32(0x7FFF_FFFF), at: 0x22C)
        image.put(UInt32(2047), at: 0x238)
        image.put(UInt64(0x10_0000), at: 0x258)
        image.put(UInt32(0x20_0000), at: 0x260)
        return image + (0..<systemBytes).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    }

    /// An ELF file with a Multiboot header and one segment at 2 MiB, entered at its start.
    static func elf(wide: Bool = false, multiboot: Bool = true, flags: UInt32 = 3, entry: UInt64 = 0x20_0010, fileBytes: Int = 256)
        -> [UInt8]
    {
        var image = [UInt8](repeating: 0, count: 4096)
        image.put(UInt32(0x464C_457F), at: 0)
        image[4] = wide ? 2 : 1
        image[5] = 1
        image.put(UInt16(2), at: 16)
        image.put(UInt16(wide ? 62 : 3), at: 18)
        let table = 64
        if wide {
            image.put(entry, at: 24)
            image.put(UInt64(table), at: 32)
            image.put(UInt16(56), at: 54)
            image.put(UInt16(1), at: 56)
            image.put(UInt32(1), at: table)
            for (offset, value) in [(8, 4096), (16, 0x20_0000), (24, 0x20_0000), (32, fileBytes), (40, 0x2000)] {
                image.put(UInt64(value), at: table + offset)
            }
        } else {
            image.put(UInt32(truncatingIfNeeded: entry), at: 24)
            image.put(UInt32(table), at: 28)
            image.put(UInt16(32), at: 42)
            image.put(UInt16(1), at: 44)
            for (offset, value) in [(0, 1), (4, 4096), (8, 0x20_0000), (12, 0x20_0000), (16, fileBytes), (20, 0x2000)] {
                image.put(UInt32(value), at: table + offset)
            }
        }
        if multiboot {
            image.put(UInt32(0x1BAD_B002), at: 1024)
            image.put(flags, at: 1028)
            image.put(0 &- (0x1BAD_B002 &+ flags), at: 1032)
        }
        return image + (0..<fileBytes).map { UInt8(truncatingIfNeeded: $0) }
    }

    /// A flat binary with load addresses in its Multiboot header, loaded at 1 MiB.
    static func kludge(loadEnd: UInt32 = 0, bssEnd: UInt32 = 0x10_4000) -> [UInt8] {
        var image = [UInt8](repeating: 0xF4, count: 3000)
        let header: [UInt32] = [0x1BAD_B002, 0x1_0003, 0 &- (0x1BAD_B002 &+ 0x1_0003), 0x10_0010, 0x10_0000, loadEnd, bssEnd, 0x10_0100]
        for (i, word) in header.enumerated() { image.put(word, at: 16 + 4 * i) }
        return image
    }

    static func memory(mib: Int = 16) throws -> GuestMemory {
        let bytes = UInt64(mib) << 20
        let memory = try GuestMemory(ramBytes: bytes, extraBytes: 1 << 20)
        memory.setMap([.init(base: 0, bytes: bytes, read: 0, write: 0)])
        // What SeaBIOS reports: low memory to the EBDA, a hole, RAM to its tables.
        let map: [UInt64] = [
            0, 0x9FC00, 1, 0x9FC00, 0x400, 2, 0xF_0000, 0x1_0000, 2, 0x10_0000, bytes - 0x10_0000 - 0x2_0000, 1, bytes - 0x2_0000, 0x2_0000,
            2,
        ]
        memory.store(KernelROM.mapCount, UInt16(map.count / 3))
        for i in 0..<map.count / 3 {
            let at = KernelROM.map + UInt64(20 * i)
            memory.store(at, map[3 * i])
            memory.store(at + 8, map[3 * i + 1])
            memory.store(at + 16, UInt32(map[3 * i + 2]))
        }
        return memory
    }

    static func loader(_ kernel: [UInt8], initrd: [UInt8]? = nil, line: String = "", mib: Int = 16) throws(MachineError) -> KernelLoader {
        try KernelLoader(kernel: kernel, name: "k", initrd: initrd, initrdName: "i", commandLine: line, ramBytes: UInt64(mib) << 20)
    }
}

@Suite("kernel · boot ROM") struct KernelROMTests {
    @Test("the image is one valid option ROM whose bytes, and whose PnP header's, add up to zero")
    func checksums() {
        let image = KernelROM.image(hookPort: 0x05E8)
        #expect(image.count == 512)
        #expect(image[0...2] == [0x55, 0xAA, 0x01])
        #expect(image.reduce(0, &+) == 0)
        #expect(image[0x20..<0x40].reduce(0, &+) == 0)
        #expect(image[0x99...0x9C] == [0xBA, 0xE8, 0x05, 0xEE])  // mov dx,5E8h; out dx,al
    }
}

@Suite("kernel · Linux") struct LinuxImageTests {
    @Test("a bzImage is placed by the boot protocol: set-up code, system, command line, initrd")
    func placed() throws {
        let memory = try KernelImages.memory()
        let initrd = (0..<5000).map { UInt8(truncatingIfNeeded: $0) }
        let kernel = KernelImages.linux()
        try KernelImages.loader(kernel, initrd: initrd, line: "console=ttyS0 vga=0x305").place(in: memory)
        #expect(memory.load(KernelROM.parameters, as: UInt16.self) == 1)
        #expect(memory.load(KernelROM.parameters + 2, as: UInt16.self) == 0x1000)
        let setup: UInt64 = 0x1_0000
        #expect(memory.load(setup + 0x210, as: UInt8.self) == 0xFF)
        #expect(memory.load(setup + 0x211, as: UInt8.self) == 0x81)
        #expect(memory.load(setup + 0x224, as: UInt16.self) == 0xDE00)
        #expect(memory.load(setup + 0x1FA, as: UInt16.self) == 0x305)
        let line = memory.read(UInt64(memory.load(setup + 0x228, as: UInt32.self)), count: 24)
        #expect(line == Array("console=ttyS0 vga=0x305".utf8) + [0])
        let address = UInt64(memory.load(setup + 0x218, as: UInt32.self))
        #expect(memory.load(setup + 0x21C, as: UInt32.self) == 5000)
        #expect(address & 0xFFF == 0)
        // As high as the firmware's map allows: 16 MiB less 128 KiB.
        #expect(address == 0xFE_0000 - 0x2000)
        #expect(memory.read(address, count: 5000) == initrd)
        #expect(memory.read(0x10_0000, count: 8192) == Array(kernel.suffix(8192)))
    }

    @Test("a zImage goes below 640 KiB and gets its command line the old way")
    func zImage() throws {
        let memory = try KernelImages.memory()
        try KernelImages.loader(KernelImages.linux(version: 0x0201, high: false), line: "root=/dev/fd0").place(in: memory)
        #expect(memory.load(KernelROM.parameters + 2, as: UInt16.self) == 0x9000)
        #expect(memory.load(0x9_0020, as: UInt16.self) == 0xA33F)
        #expect(memory.load(0x9_0022, as: UInt16.self) == 0x9800)
        #expect(memory.read(0x9_9800, count: 13) == Array("root=/dev/fd0".utf8))
        #expect(memory.load(0x1_0008, as: UInt8.self) == 56)
    }

    @Test("an initrd stays below the kernel's limit and clear of what the kernel decompresses to")
    func initrdLimit() throws {
        var kernel = KernelImages.linux()
        kernel.put(UInt32(0x00A0_0FFF), at: 0x22C)
        let memory = try KernelImages.memory()
        try KernelImages.loader(kernel, initrd: [1, 2, 3]).place(in: memory)
        #expect(memory.load(0x1_0218, as: UInt32.self) == 0xA0_0000)
        kernel.put(UInt32(0x002F_FFFF), at: 0x22C)
        let loader = try KernelImages.loader(kernel, initrd: [1, 2, 3])
        #expect(throws: MachineError.self) { try loader.place(in: memory) }
    }

    @Test("a file cut off anywhere is refused with one sentence", arguments: [1, 0x1F0, 0x210, 0x260, 2559, 2560, 2600, 10_000])
    func truncated(count: Int) {
        let error = #expect(throws: MachineError.self) { try KernelImages.loader(Array(KernelImages.linux().prefix(count))) }
        #expect(error?.kind == .badInput)
    }

    @Test("too little memory and too long a command line are wrong usage")
    func tooBig() throws {
        let memory = #expect(throws: MachineError.self) {
            try KernelImages.loader(KernelImages.linux(), initrd: [UInt8](repeating: 0, count: 2 << 20), mib: 4)
        }
        #expect(memory?.kind == .usage)
        var huge = KernelImages.linux()
        huge.put(UInt32(0xDFF0_0000), at: 0x260)
        let kernel = #expect(throws: MachineError.self) { try KernelImages.loader(huge) }
        // No --memory would do: it is the file.
        #expect(kernel?.kind == .badInput)
        let line = #expect(throws: MachineError.self) {
            try KernelImages.loader(KernelImages.linux(), line: String(repeating: "x", count: 2048))
        }
        #expect(line?.kind == .usage)
        _ = try KernelImages.loader(KernelImages.linux(), line: String(repeating: "x", count: 2047))
    }

    @Test(
        "vga= knows numbers and words",
        arguments: [("vga=normal", 0xFFFF), ("a vga=ask b", 0xFFFD), ("vga=791", 791), ("vga=0x317", 0x317)] as [(String, UInt16)])
    func videoMode(line: String, mode: UInt16) { #expect(LinuxImage.videoMode(Array(line.utf8)) == mode) }
}

@Suite("kernel · Multiboot and ELF") struct FlatImageTests {
    @Test("an ELF image is loaded, its rest cleared, and the information structure complete", arguments: [false, true])
    func placed(wide: Bool) throws {
        let memory = try KernelImages.memory()
        memory.store(0x20_0200, UInt32.max)
        let module = Array("module data".utf8)
        try KernelImages.loader(KernelImages.elf(wide: wide), initrd: module, line: "one two").place(in: memory)
        #expect(memory.read(0x20_0000, count: 4) == [0, 1, 2, 3])
        #expect(memory.load(0x20_0200, as: UInt32.self) == 0)
        func word(_ address: UInt64) -> UInt64 { UInt64(memory.load(address, as: UInt32.self)) }
        let block = KernelROM.parameters
        #expect(memory.load(block, as: UInt16.self) == 2)
        #expect(word(block + 8) == 0x2BAD_B002)
        #expect(word(block + 16) == 0x20_0010)
        #expect(word(block + 22) == KernelROM.gdt)
        let info = word(block + 12)
        #expect(word(info) == 0b10_0100_1101)
        #expect(word(info + 4) == 639)
        #expect(word(info + 8) == (15 << 10) - 128)
        #expect(memory.read(word(info + 16), count: 8) == Array("one two".utf8) + [0])
        #expect(word(info + 20) == 1)
        let list = word(info + 24)
        #expect(word(list) & 0xFFF == 0)
        #expect(word(list) >= 0x20_2000)
        #expect(memory.read(word(list), count: module.count) == module)
        #expect(word(list + 4) - word(list) == UInt64(module.count))
        #expect(word(info + 44) == 5 * 24)
        let last = word(info + 48) + 4 * 24
        #expect(word(last) == 20)
        #expect(memory.load(last + 4, as: UInt64.self) == 0xFE_0000)
        #expect(word(last + 20) == 2)
    }

    @Test("a plain ELF32 file starts too, a plain ELF64 file does not")
    func plain() throws {
        _ = try KernelImages.loader(KernelImages.elf(multiboot: false))
        let error = #expect(throws: MachineError.self) { try KernelImages.loader(KernelImages.elf(wide: true, multiboot: false)) }
        #expect(error?.description.contains("64-bit") == true)
    }

    @Test("load addresses in the header say where a flat file goes")
    func kludge() throws {
        let memory = try KernelImages.memory()
        memory.store(0x10_3FF0, UInt32.max)
        try KernelImages.loader(KernelImages.kludge()).place(in: memory)
        #expect(memory.load(0x10_0010, as: UInt32.self) == 0x1BAD_B002)
        #expect(memory.load(0x10_3FF0, as: UInt32.self) == 0)
        #expect(memory.load(KernelROM.parameters + 16, as: UInt32.self) == 0x10_0100)
    }

    @Test("requirements that are not known are refused, as the specification demands")
    func unknownRequirement() {
        #expect(throws: MachineError.self) { try KernelImages.loader(KernelImages.elf(flags: 0x13)) }
    }

    @Test("an image over the firmware's own memory is refused when the firmware has said where that is")
    func overFirmware() throws {
        var image = KernelImages.elf()
        image.put(UInt32(0x9_F000), at: 64 + 12)
        image.put(UInt32(0x9_F000), at: 64 + 8)
        image.put(UInt32(0x9_F010), at: 24)
        let loader = try KernelImages.loader(image)
        let memory = try KernelImages.memory()
        let error = #expect(throws: MachineError.self) { try loader.place(in: memory) }
        #expect(error?.kind == .badInput)
        #expect(memory.load(KernelROM.parameters, as: UInt16.self) == 0)
    }

    @Test("segments behind the end of the file, entries outside, ends above 4 GiB are refused", arguments: [0, 1, 2, 3])
    func contradictions(kind: Int) {
        let image =
            switch kind {
            case 0: Array(KernelImages.elf().dropLast(1))
            case 1: KernelImages.elf(entry: 0x30_0000)
            case 2: KernelImages.kludge(loadEnd: 0x20_0000)
            default: KernelImages.kludge(bssEnd: 0x10_0200)
            }
        let error = #expect(throws: MachineError.self) { try KernelImages.loader(image) }
        #expect(error?.kind == .badInput)
    }
}

@Suite("kernel · damaged files") struct DamagedKernelTests {
    /// A fixed sequence, so that a failure can be repeated: xorshift64.
    struct Random: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state
        }
    }

    @Test("1000 damaged images of each kind are loaded or refused in one sentence, never a trap", arguments: 0..<5)
    func fuzz(kind: Int) throws {
        let originals = [
            KernelImages.linux(), KernelImages.linux(version: 0x0201, high: false), KernelImages.elf(), KernelImages.elf(wide: true),
            KernelImages.kludge(),
        ]
        let memory = try KernelImages.memory()
        var random = Random(state: 0x9E37_79B9_7F4A_7C15 &+ UInt64(kind))
        var refused = 0
        for _ in 0..<1000 {
            var image = originals[kind]
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                // Mostly where the headers are, with the values that break arithmetic.
                let header = kind < 2 ? 0x1F0..<0x270 : kind == 4 ? 16..<48 : 0..<160
                let at =
                    Int.random(in: 0..<4, using: &random) == 0
                    ? Int.random(in: 0..<image.count, using: &random) : Int.random(in: header, using: &random)
                image[at] = [0, 1, 0x7F, 0x80, 0xFF, UInt8.random(in: 0...255, using: &random)].randomElement(using: &random) ?? 0
            }
            if Int.random(in: 0..<8, using: &random) == 0 { image.removeLast(Int.random(in: 0..<image.count, using: &random)) }
            do {
                try KernelImages.loader(image, initrd: [1, 2, 3], line: "a").place(in: memory)
            } catch {
                refused += 1
                #expect(error.description.hasSuffix("."))
                #expect(!error.description.contains("\n"))
            }
        }
        #expect(refused > 10)
        #expect(refused < 1000)
    }

    @Test("1000 files of random bytes are no kernels")
    func noise() {
        var random = Random(state: 42)
        for _ in 0..<1000 {
            let image = (0..<Int.random(in: 1...9000, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            let error = #expect(throws: MachineError.self) { try KernelImages.loader(image) }
            #expect(error?.kind == .badInput)
        }
    }

    @Test("a memory map of nonsense leaves no place, and no trap")
    func nonsenseMap() throws {
        let memory = try KernelImages.memory()
        var random = Random(state: 7)
        let loaders = [
            try KernelImages.loader(KernelImages.linux(), initrd: [1]), try KernelImages.loader(KernelImages.elf(), initrd: [1]),
        ]
        for _ in 0..<300 {
            memory.store(KernelROM.mapCount, UInt16.random(in: 0...UInt16.max, using: &random))
            for i in 0..<240 { memory.store(KernelROM.map + UInt64(8 * i), UInt64.random(in: 0...UInt64.max, using: &random)) }
            for loader in loaders { _ = try? loader.place(in: memory) }
        }
    }
}
