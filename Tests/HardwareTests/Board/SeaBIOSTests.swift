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
                case .halted, .powerOff, .reset, .shutdown, .debugExit, .bootHook: break loop
                }
            }
            #expect(pc.retired <= 400_000)
            digests.append(pc.digest())
        }
        #expect(digests[0] == digests[1])
    }
}
