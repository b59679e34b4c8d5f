import CPU
import Foundation
import Hardware
import Primitives
import Testing

@Suite("firmware · SeaBIOS") struct FirmwareTests {
    static func pc(_ change: (inout BoardSettings) -> Void = { _ in }) throws -> PC {
        var settings = BoardSettings(
            bios: try read("/usr/share/seabios/bios-256k.bin"), vgaBIOS: try read("/usr/share/seabios/vgabios-stdvga.bin"))
        settings.debugConsolePorts = [0x402]
        change(&settings)
        return try PC(settings)
    }

    static func read(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }

    @Test("reaches its banner and says that there is nothing to boot from")
    func banner() throws {
        let pc = try FirmwareTests.pc()
        var log = ""
        var screen = ""
        let start = Date()
        for _ in 0..<4000 {
            let stop = pc.run(instructions: 1_000_000)
            for (stream, bytes) in pc.drainOutput() where stream == .debugConsole(0x402) { log += String(decoding: bytes, as: UTF8.self) }
            screen = pc.textFrame().text
            if screen.contains("No bootable device") { break }
            if case .shutdown(let sentence) = stop { Issue.record("\(sentence)"); break }
        }
        print(log.suffix(3000))
        print(screen)
        print("retired \(pc.retired), \(Double(pc.retired) / 1e6 / -start.timeIntervalSinceNow) MIPS")
        #expect(screen.contains("SeaBIOS (version"))
        #expect(screen.contains("No bootable device"))
    }
}
