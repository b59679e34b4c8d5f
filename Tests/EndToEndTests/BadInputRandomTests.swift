import Foundation
import Machine
import Testing

/// Random files as every kind of input: never a trap, never a hang. `VITRINE_FUZZ=1000` sets the number of each kind
/// (Tests/fuzz-input.sh), `VITRINE_SEED` the first seed, `VITRINE_FUZZ_KINDS=kernel,bios` the kinds. A file that brought the process
/// down is left in the temporary folder, named for the process, its kind and seed.
@Suite("program · random input", .serialized) struct BadInputRandomTests {
    static let count = ProcessInfo.processInfo.environment["VITRINE_FUZZ"].flatMap { Int($0) } ?? 40
    static let firstSeed = ProcessInfo.processInfo.environment["VITRINE_SEED"].flatMap { UInt64($0) } ?? 1

    enum Kind: String, CaseIterable { case disk, floppy, cdrom, kernel, bios }
    static let kinds = ProcessInfo.processInfo.environment["VITRINE_FUZZ_KINDS"].map { list in
        list.split(separator: ",").compactMap { Kind(rawValue: String($0)) }
    } ?? Kind.allCases

    @Test("a machine that is given noise ends in good order", arguments: kinds)
    func noise(kind: Kind) throws {
        var outcomes: [Int32: Int] = [:]
        // A guest that halts with interrupts off would wait for ever; with the virtual clock this ends it at once.
        let script = FileManager.default.temporaryDirectory.appendingPathComponent("vitrine-noise-\(UUID().uuidString).script").path
        try Data("wait 1\nstop\n".utf8).write(to: URL(fileURLWithPath: script))
        defer { try? FileManager.default.removeItem(atPath: script) }
        for seed in BadInputRandomTests.firstSeed..<BadInputRandomTests.firstSeed + UInt64(BadInputRandomTests.count) {
            let path = FileManager.default.temporaryDirectory.appendingPathComponent("vitrine-noise-\(getpid())-\(kind.rawValue)-\(seed)").path
            try Data(Noise.file(kind, seed)).write(to: URL(fileURLWithPath: path))
            let status = BadInputRandomTests.run(kind, path, script: script)
            outcomes[status, default: 0] += 1
            // The instruction limit, the end of the second or a power-off, a Guru Meditation, a refusal; and for a kernel that asks for
            // more memory than this machine was given, 64: the file may be good, the options do not go together.
            let orderly: Set<Int32> = kind == .kernel ? [0, 3, 64, 66] : [0, 3, 66]
            #expect(orderly.contains(status), "\(kind.rawValue) \(seed) ended with \(status)")
            try FileManager.default.removeItem(atPath: path)
        }
        // Noise must get further than the door.
        #expect(outcomes[0, default: 0] + outcomes[3, default: 0] > BadInputRandomTests.count / 4, "\(outcomes)")
    }

    /// The exit status; 124 when the run does not end.
    static func run(_ kind: Kind, _ path: String, script: String) -> Int32 {
        var settings = RunSettings()
        settings.headless = true
        settings.clock = .virtual
        settings.memoryMiB = 8
        settings.disposable = true
        settings.script = script
        settings.timeoutSeconds = 120
        // SeaBIOS starts what it has found after 10 million instructions.
        settings.maxInstructions = kind == .bios ? 500_000 : 11_000_000
        switch kind {
        case .disk: settings.disks = [path]
        case .floppy: settings.floppy = path
        case .cdrom: settings.cdrom = path
        case .kernel: settings.kernel = path
        case .bios: settings.bios = path
        }
        do {
            let session = try RunSession(settings, diagnose: { _ in })
            session.start()
            let ended = DispatchSemaphore(value: 0)
            let status = Box()
            Thread.detachNewThread {
                status.value = session.finish()
                ended.signal()
            }
            // A thread that hangs inside one instruction cannot be ended, only reported.
            return ended.wait(timeout: .now() + 180) == .success ? status.value : 124
        } catch {
            return error.kind.rawValue
        }
    }

    /// Handed from one thread to another through a semaphore.
    private final class Box: @unchecked Sendable { var value: Int32 = -1 }
}

/// Files that are random, and random files that pass the first checks.
enum Noise {
    /// SplitMix64, so that a seed is a file.
    struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
            return z ^ z >> 31
        }
    }

    static func file(_ kind: BadInputRandomTests.Kind, _ seed: UInt64) -> [UInt8] {
        var generator = Generator(state: seed &* 5 &+ UInt64(kind.hashSeed))
        switch kind {
        case .disk: return bootable(bytes(512 * Int.random(in: 1...300, using: &generator), &generator), &generator)
        case .floppy: return bootable(bytes([163_840, 368_640, 737_280, 1_474_560].randomElement(using: &generator) ?? 0, &generator), &generator)
        case .cdrom: return disc(&generator)
        case .kernel: return kernel(&generator)
        case .bios: return bytes([1 << 16, 1 << 17, 1 << 18].randomElement(using: &generator) ?? 0, &generator)
        }
    }

    static func bytes(_ count: Int, _ generator: inout Generator) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            var at = 0
            while at < count {
                var word = generator.next()
                for _ in 0..<min(8, count - at) {
                    buffer[at] = UInt8(truncatingIfNeeded: word)
                    word >>= 8
                    at += 1
                }
            }
            filled = count
        }
    }

    /// Three of four get the mark of a boot sector, so that the noise is executed.
    private static func bootable(_ image: [UInt8], _ generator: inout Generator) -> [UInt8] {
        var image = image
        if image.count >= 512, Int.random(in: 0..<4, using: &generator) > 0 { image.replaceSubrange(510..<512, with: [0x55, 0xAA]) }
        return image
    }

    /// Noise with the volume descriptors and boot catalogue of El Torito, some of their fields random too.
    private static func disc(_ generator: inout Generator) -> [UInt8] {
        var image = bytes(2048 * Int.random(in: 17...200, using: &generator), &generator)
        guard image.count >= 2048 * 24, Int.random(in: 0..<4, using: &generator) > 0 else { return image }
        func put(_ at: Int, _ text: [UInt8]) { image.replaceSubrange(at..<at + text.count, with: text) }
        put(16 * 2048, [1] + Array("CD001".utf8) + [1])
        put(17 * 2048, [0] + Array("CD001".utf8) + [1] + Array("EL TORITO SPECIFICATION".utf8) + [UInt8](repeating: 0, count: 41) + [19, 0, 0, 0])
        put(18 * 2048, [255] + Array("CD001".utf8) + [1])
        var catalogue = [UInt8](repeating: 0, count: 64)
        catalogue[0] = 1
        catalogue[28] = 0xAA
        catalogue[29] = 0x55
        catalogue[30] = 0x55
        catalogue[31] = 0xAA
        var sum: UInt16 = 0
        for word in stride(from: 0, to: 32, by: 2) where word != 28 { sum &+= UInt16(catalogue[word]) | UInt16(catalogue[word + 1]) << 8 }
        catalogue[28] = UInt8(truncatingIfNeeded: 0 &- sum)
        catalogue[29] = UInt8(truncatingIfNeeded: (0 &- sum) >> 8)
        catalogue[32] = 0x88
        // Emulation of floppies and disks, load segments and lengths out of the air.
        catalogue[33] = [0, 0, 1, 2, 3, 4].randomElement(using: &generator) ?? 0
        catalogue.replaceSubrange(34..<36, with: bytes(2, &generator))
        if Bool.random(using: &generator) { catalogue.replaceSubrange(34..<36, with: [0, 0]) }
        catalogue[38] = UInt8.random(in: 0...8, using: &generator)
        catalogue[40] = 20
        if Int.random(in: 0..<8, using: &generator) == 0 { catalogue.replaceSubrange(40..<44, with: bytes(4, &generator)) }
        put(19 * 2048, catalogue)
        return image
    }

    /// One in ten is plain noise. The others have the header of a Linux, Multiboot or ELF image, and two thirds of these have likely
    /// values in every field, so that the noise behind it is executed; in the last third each field may be random.
    private static func kernel(_ generator: inout Generator) -> [UInt8] {
        var image = bytes(Int.random(in: 1...60_000, using: &generator), &generator)
        let oddity = Int.random(in: 0..<3, using: &generator) == 0
        func put(_ at: Int, _ bytes: [UInt8]) {
            if at + bytes.count <= image.count { image.replaceSubrange(at..<at + bytes.count, with: bytes) }
        }
        func word(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
        func likely(_ value: UInt32) -> [UInt8] {
            oddity && Int.random(in: 0..<6, using: &generator) == 0 ? bytes(4, &generator) : word(value)
        }
        switch Int.random(in: 0..<10, using: &generator) {
        case 0: break
        case 1...3:  // Linux, as in boot.rst
            let sectors = UInt8.random(in: 0...8, using: &generator)
            let system = image.count - (Int(sectors == 0 ? 4 : sectors) + 1) * 512
            put(0x1F1, [sectors])
            put(0x1F4, likely(UInt32(max(0, (system + 15) / 16))))
            put(0x1FE, [0x55, 0xAA, 0xEB, 0x66] + Array("HdrS".utf8) + [UInt8.random(in: 0...15, using: &generator), 2])
            put(0x211, [UInt8.random(in: 0...1, using: &generator) | 0x80])
            put(0x214, likely(0x10_0000))
            put(0x22C, likely(0x37FF_FFFF))
            put(0x238, likely(2048))
            put(0x258, likely(0x10_0000) + likely(0) + likely(0x2_0000))
        case 4...6:  // Multiboot with load addresses
            let at = 4 * Int.random(in: 0...40, using: &generator)
            let flags: UInt32 = oddity && Bool.random(using: &generator) ? 3 : 0x1_0003
            put(at, word(0x1BAD_B002) + word(flags) + word(0 &- 0x1BAD_B002 &- flags))
            put(at + 12, likely(0x10_0000 + UInt32(at)) + likely(0x10_0000) + likely(0) + likely(0) + likely(0x10_0000 + UInt32(at) + 32))
        default:  // ELF32
            put(0, [0x7F, 0x45, 0x4C, 0x46, 1, 1, 1, 0] + [UInt8](repeating: 0, count: 8) + [2, 0, 3, 0] + word(1))
            put(24, likely(0x10_0000) + likely(52))
            put(42, [32, 0, UInt8.random(in: 1...4, using: &generator), 0])
            for entry in 0..<4 {
                let at = UInt32(min(entry * 512, max(0, image.count - 512)))
                let address = likely(0x10_0000 + UInt32(entry) << 12)
                put(52 + entry * 32, word(1) + likely(at) + address + address + likely(512) + likely(1024) + word(7) + word(4096))
            }
        }
        return image
    }
}

extension BadInputRandomTests.Kind {
    /// Makes the same seed another file for another kind.
    var hashSeed: Int { BadInputRandomTests.Kind.allCases.firstIndex(of: self) ?? 0 }
}
