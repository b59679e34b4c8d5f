/// A Linux kernel image (bzImage, zImage, or another program in that format), checked against its own header.
///
/// Source: Linux *Documentation/x86/boot.rst*, "The Linux/x86 Boot Protocol", versions 2.00 to 2.15.
///
/// Not implemented: kernels older than protocol 2.00 (before Linux 1.3.73), setup_data lists, the 32- and 64-bit entry points.
struct LinuxImage: Sendable {
    /// Boot sector and set-up code, `setupSectors + 1` sectors.
    var setup: [UInt8]
    /// What is loaded behind it, the protected-mode code.
    var system: [UInt8]
    /// 0x0200 and later.
    let version: UInt16
    /// LOADED_HIGH: the protected-mode code goes to 1 MiB, else to 64 KiB.
    let loadedHigh: Bool
    /// Highest address the initrd may occupy.
    let initrdMaximum: UInt64
    /// Longest command line, without the zero.
    let commandLineLimit: Int
    /// It has a 64-bit entry point, and so is a 64-bit kernel.
    let is64: Bool
    /// First address behind what the running kernel needs from the start, as far as the header says.
    let memoryEnd: UInt64

    /// - Parameter name: what messages call the file.
    /// - Returns: nil when the file is no Linux image at all (another loader may know it).
    /// - Throws: `.badInput` when it is one, but cut off or with a header that contradicts itself.
    init?(_ bytes: [UInt8], name: String) throws(MachineError) {
        let file = LittleEndian(bytes: bytes)
        guard file.u32(Header.magic) == 0x5372_6448, file.u16(Header.bootFlag) == 0xAA55 else { return nil }  // "HdrS"
        guard let version = file.u16(Header.version), version >= 0x0200, let flags = file.u8(Header.loadFlags),
            let sectors = file.u8(Header.setupSectors)
        else { throw .badInput("The kernel '\(name)' has a Linux header of a version that is not known here.") }
        self.version = version
        is64 = version >= 0x020C && (file.u16(Header.moreLoadFlags) ?? 0) & 1 != 0
        loadedHigh = flags & 1 != 0
        let setupBytes = (Int(sectors == 0 ? 4 : sectors) + 1) * 512
        // Before 2.04 only the low half of syssize is valid, and then not for LOADED_HIGH images.
        let paragraphs = version >= 0x0204 ? file.u32(Header.systemSize).map(Int.init) : nil
        guard bytes.count > setupBytes, paragraphs ?? 1 > 0 else {
            throw .badInput("The kernel '\(name)' is cut off: its set-up code alone has \(setupBytes) bytes, the file \(bytes.count).")
        }
        let systemBytes = paragraphs.map { $0 * 16 } ?? bytes.count - setupBytes
        // The last paragraph may be incomplete: linkers do not pad the file.
        guard systemBytes - (bytes.count - setupBytes) < 16 else {
            throw .badInput(
                "The kernel '\(name)' is cut off: its header announces \(setupBytes + systemBytes) bytes, the file has \(bytes.count).")
        }
        guard setupBytes <= 0xE000 else { throw .badInput("The kernel '\(name)' has a header with too much set-up code.") }
        setup = Array(bytes[..<setupBytes])
        // What follows (a signature, for example) is loaded too when there is no size in the header.
        system = Array(bytes[setupBytes..<min(bytes.count, setupBytes + systemBytes)])
        guard loadedHigh || system.count <= 0x8_0000 else {
            throw .badInput("The kernel '\(name)' says it loads below 640 KiB but has \(system.count) bytes.")
        }
        initrdMaximum = version >= 0x0203 ? UInt64(file.u32(Header.initrdMaximum) ?? 0) : 0x37FF_FFFF
        let limit = version >= 0x0206 ? Int(file.u32(Header.commandLineSize) ?? 0) : 255
        commandLineLimit = min(limit == 0 ? 255 : limit, loadedHigh && version >= 0x0202 ? 0xFFFE : 0x5FF)
        var end = loadedHigh ? 0x10_0000 + UInt64(system.count) : 0x10_0000
        if version >= 0x020A, loadedHigh, let preferred = file.u64(Header.preferredAddress), let needed = file.u32(Header.initialSize) {
            guard preferred < 1 << 32 else { throw .badInput("The kernel '\(name)' wants to be loaded above 4 GiB.") }
            end = max(end, preferred + UInt64(needed))
        }
        memoryEnd = end
    }

    /// Offsets in the file (and in the set-up code).
    enum Header {
        static let setupSectors = 0x1F1, systemSize = 0x1F4, videoMode = 0x1FA, bootFlag = 0x1FE, magic = 0x202, version = 0x206
        static let loaderType = 0x210, loadFlags = 0x211, moveSize = 0x212, initrdAddress = 0x218, initrdSize = 0x21C
        static let heapEnd = 0x224, commandLine = 0x228, initrdMaximum = 0x22C, commandLineSize = 0x238
        static let preferredAddress = 0x258, initialSize = 0x260, moreLoadFlags = 0x236
        /// Before protocol 2.02: magic 0xA33F and offset of the command line.
        static let oldCommandLineMagic = 0x20, oldCommandLineOffset = 0x22
    }

    /// Where things go in real-mode memory.
    struct Layout {
        /// Physical address of the set-up code, and the offset there where its heap ends and its stack begins.
        var setup: UInt64
        var heapEnd: UInt16
        var commandLine: UInt64
        var system: UInt64
    }

    /// From 2.02 on, a high-loaded kernel runs its set-up code anywhere: 64 KiB keeps clear of the firmware's data below 640 KiB.
    /// Older ones and zImages insist on 0x90000, with the command line in the same segment.
    var layout: Layout {
        if loadedHigh && version >= 0x0202 {
            Layout(setup: 0x1_0000, heapEnd: 0xE000, commandLine: 0x2_0000, system: 0x10_0000)
        } else {
            Layout(setup: 0x9_0000, heapEnd: 0x9800, commandLine: 0x9_9800, system: loadedHigh ? 0x10_0000 : 0x1_0000)
        }
    }

    /// The set-up code with the fields that a loader has to fill in.
    func preparedSetup(commandLine: [UInt8], initrd: (address: UInt64, bytes: Int)?) -> [UInt8] {
        var setup = setup
        let layout = layout
        // Fields that this version has not got belong to its code: leave them alone.
        func put<T: FixedWidthInteger>(_ value: T, _ offset: Int) {
            if offset + T.bitWidth / 8 <= setup.count { setup.put(value, at: offset) }
        }
        put(UInt8(0xFF), Header.loaderType)  // a loader without an assigned number
        if let initrd {
            put(UInt32(truncatingIfNeeded: initrd.address), Header.initrdAddress)
            put(UInt32(truncatingIfNeeded: initrd.bytes), Header.initrdSize)
        }
        if version >= 0x0201 {
            put(layout.heapEnd - 0x200, Header.heapEnd)
            setup[Header.loadFlags] |= 0x80  // CAN_USE_HEAP
        }
        if version >= 0x0202 {
            put(UInt32(truncatingIfNeeded: layout.commandLine), Header.commandLine)
        } else {
            put(UInt16(0xA33F), Header.oldCommandLineMagic)
            put(UInt16(truncatingIfNeeded: layout.commandLine - layout.setup), Header.oldCommandLineOffset)
            put(UInt16(truncatingIfNeeded: layout.commandLine - layout.setup) &+ UInt16(commandLine.count + 1), Header.moveSize)
        }
        if let mode = LinuxImage.videoMode(commandLine) { put(mode, Header.videoMode) }
        return setup
    }

    /// `vga=MODE` of the command line, which the loader has to put into the header; nil without a valid one.
    static func videoMode(_ commandLine: [UInt8]) -> UInt16? {
        let words = String(decoding: commandLine, as: UTF8.self).split(separator: " ")
        guard let value = words.last(where: { $0.hasPrefix("vga=") })?.dropFirst(4) else { return nil }
        switch value {
        case "normal": return 0xFFFF
        case "ext": return 0xFFFE
        case "ask": return 0xFFFD
        default: return value.lowercased().hasPrefix("0x") ? UInt16(value.dropFirst(2), radix: 16) : UInt16(value)
        }
    }
}
