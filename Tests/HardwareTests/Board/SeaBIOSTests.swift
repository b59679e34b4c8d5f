import Foundation
import Primitives
import Testing

@testable import Hardware

private let folder = "/usr/share/seabios"

/// The firmware of Debian's `seabios` package, run on the board with the real processor.
@Suite("board · SeaBIOS", .enabled(if: FileManager.default.fileExists(atPath: folder + "/bios-256k.bin")))
struct SeaBIOSTests {
    static func board(_ change: (inout BoardSettings) -> Void = { _ in }) throws -> PC {
        let bios = try Data(contentsOf: URL(fileURLWithPath: folder + "/bios-256k.bin"))
        let vga = try Data(contentsOf: URL(fileURLWithPath: folder + "/vgabios-stdvga.bin"))
        var settings = BoardSettings(bios: [UInt8](bios), vgaBIOS: [UInt8](vga))
        settings.ramMiB = 64
        settings.debugConsolePorts = [0x402]
        change(&settings)
        return try PC(settings)
    }

    /// Runs until the condition holds; false after `limit` instructions. Returns what came out of the debug console.
    static func run(_ pc: PC, limit: UInt64, until done: (PC, String) -> Bool) -> (reached: Bool, log: String, stop: PCStop) {
        var log: [UInt8] = []
        let end = pc.retired + limit
        while pc.retired < end {
            let stop = pc.run(instructions: 200_000)
            for (stream, bytes) in pc.drainOutput() { if case .debugConsole = stream { log += bytes } }
            let text = String(decoding: log, as: UTF8.self)
            if done(pc, text) { return (true, text, stop) }
            switch stop {
            case .sliceDone: break
            case .halted: if pc.now() > 120_000_000_000 { return (false, text, stop) }
            default: return (false, text, stop)
            }
        }
        return (false, String(decoding: log, as: UTF8.self), .sliceDone)
    }

    static func screen(_ pc: PC) -> String {
        let frame = pc.textFrame()
        guard frame.cells.count == frame.columns * frame.rows else { return "" }
        return (0..<frame.rows).map { row in
            String((0..<frame.columns).map { Character(Unicode.Scalar(UInt8(truncatingIfNeeded: frame.cells[row * frame.columns + $0]))) })
        }.joined(separator: "\n")
    }

    @Test("starts from the reset vector, finds the board's devices and reports that there is nothing to boot") func banner() throws {
        let pc = try SeaBIOSTests.board()
        let result = SeaBIOSTests.run(pc, limit: 400_000_000) { _, log in log.contains("No bootable device") }
        #expect(result.reached, "\(result.stop)\n\(result.log)\n\(SeaBIOSTests.screen(pc))")
        #expect(result.log.contains("Running on QEMU (i440fx)"))
        #expect(result.log.contains("Found 5 PCI devices"))
        #expect(SeaBIOSTests.screen(pc).contains("SeaBIOS (version"))
        if ProcessInfo.processInfo.environment["SEABIOS_LOG"] != nil { FileHandle.standardError.write(Data(result.log.utf8)) }
    }

    @Test("two runs are identical") func deterministic() throws {
        var digests: [String] = []
        for slice in [Int64(100_000), 77_777] {
            let pc = try SeaBIOSTests.board()
            while pc.retired < 20_000_000 { _ = pc.run(instructions: min(slice, Int64(20_000_000 - pc.retired))) }
            #expect(pc.retired == 20_000_000)
            digests.append(pc.digest())
        }
        #expect(digests[0] == digests[1])
    }

    @Test("with an I/O APIC there is an MP table, without one there is none", arguments: [true, false], [true, false])
    func withoutIOAPIC(ioapic: Bool, acpi: Bool) throws {
        let pc = try SeaBIOSTests.board { ($0.ioapic, $0.acpi) = (ioapic, acpi) }
        let result = SeaBIOSTests.run(pc, limit: 400_000_000) { _, log in log.contains("No bootable device") }
        #expect(result.reached, "\(result.log)")
        let low = pc.memory.read(0xF0000, count: 0x10000)
        let hasTable = stride(from: 0, to: low.count - 16, by: 16).contains { low[$0..<($0 + 4)].elementsEqual("_MP_".utf8) }
        #expect(hasTable == ioapic)
        #expect((pc.chip(IOAPIC.self) != nil) == ioapic)
        // Nobody answers where it would be.
        #expect((pc.readMMIO(IOAPIC.base, size: 4) == 0xFFFF_FFFF) == !ioapic)
    }

    @Test("processors tell of what was switched on, with the place; without that, nothing") func trace() throws {
        func events(_ categories: TraceCategories) throws -> [TraceEvent] {
            let memory = UnsafeMutableRawPointer.allocate(byteCount: TraceRing.bytes, alignment: 8)
            defer { memory.deallocate() }
            memory.initializeMemory(as: UInt8.self, repeating: 0, count: TraceRing.bytes)
            let pc = try SeaBIOSTests.board(), tap = BoardTap(ring: TraceRing(memory))
            pc.tap = tap
            pc.trace(categories)
            var found: [TraceEvent] = [], next: UInt64 = 0
            for _ in 0..<400 {
                _ = pc.run(instructions: 20_000)
                found += tap.ring.events(from: next)
                next = tap.ring.count
            }
            return found
        }
        let own: [TraceCategory] = [.cpu, .mem, .tlb, .bios]
        let plain = try events([])
        #expect(!plain.isEmpty && !plain.contains { event in own.contains { $0.rawValue == event.category } })
        // Most of the firmware runs in a flat segment of its own.
        #expect(plain.contains { $0.line.contains(/^0008:[0-9a-f]+ write port=0x402/) })
        let all = try events(TraceCategories(rawValue: own.reduce(0) { $0 | 1 << UInt32($1.rawValue) }))
        for category in own { #expect(all.contains { $0.category == category.rawValue }, "\(category)") }
        #expect(all.contains { $0.text.hasPrefix("write cr0 value=0x") })
        #expect(all.contains { $0.category == TraceCategory.bios.rawValue && $0.text.hasPrefix("int vector=0x10 eax=") })
        #expect(all.contains { $0.text.hasPrefix("jmp to=") || $0.text.hasPrefix("ret to=") })
    }

    @Test("the boot ROM gets control from the firmware") func bootHook() throws {
        let pc = try SeaBIOSTests.board { $0.bootHook = true }
        let result = SeaBIOSTests.run(pc, limit: 400_000_000) { _, _ in false }
        #expect(result.stop == .bootHook(1), "\(result.log)")
    }
}

@Suite("board · random firmware") struct RandomFirmwareTests {
    /// Random bytes jump anywhere, write any port and any register window; the machine may stop, it never traps or hangs.
    @Test("random bytes as BIOS stop or run on, and two runs agree", arguments: 0..<24) func random(seed: Int) throws {
        var digests: [String] = []
        for _ in 0..<2 {
            var random = BoardRandom(seed: UInt64(seed) &* 7919 &+ 1)
            var bios = [UInt8](repeating: 0, count: 64 << 10)
            for i in bios.indices { bios[i] = UInt8(truncatingIfNeeded: random.next() >> 33) }
            // Without these most images triple-fault within a few instructions: a stack, interrupts and I/O first.
            let start: [UInt8] = [0xFA, 0x31, 0xC0, 0x8E, 0xD0, 0xBC, 0x00, 0x7C, 0xBA, UInt8(seed), 0x00, 0xFB]
            for (i, byte) in start.enumerated() { bios[0xFFF0 - 64 + i] = byte }
            bios[0xFFF0] = 0xEB
            bios[0xFFF1] = UInt8(bitPattern: -66)
            var settings = BoardSettings(bios: bios)
            settings.ramMiB = 4
            settings.tripleFaultResets = seed % 2 == 0
            let pc = try PC(settings)
            loop: for _ in 0..<20 {
                switch pc.run(instructions: 20_000) {
                case .sliceDone: break
                case .halted, .powerOff, .reset, .shutdown, .failed, .debugExit, .bootHook, .debug: break loop
                }
            }
            #expect(pc.retired <= 400_000)
            digests.append(pc.digest())
        }
        #expect(digests[0] == digests[1])
    }
}
