import Foundation
import Testing

@testable import Machine

@Suite("debugger · symbols") struct SymbolFileTests {
    private func load(_ bytes: [UInt8]) throws -> [String: UInt64] {
        try withTemporaryFolder { folder in
            let path = folder + "/symbols"
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            return Dictionary(try SymbolFile.load(path).map { ($0.name, $0.address) }, uniquingKeysWith: { $1 })
        }
    }

    @Test("System.map, Bochs's lines and nasm's map") func text() throws {
        let kernel = try load(Array("c1000000 T _text\nc1000010 t start_kernel\nffffffff81000000 D jiffies [mod]\n00000000 T hidden\nnoise\n".utf8))
        #expect(kernel == ["_text": 0xC100_0000, "start_kernel": 0xC100_0010, "jiffies": 0xFFFF_FFFF_8100_0000])
        #expect(try load(Array("7c00 start\r\n0x7c10 add\n".utf8)) == ["start": 0x7C00, "add": 0x7C10])
        let nasm =
            "-- Symbols ----\n\nReal              Virtual           Name\n            7C00              7C00  start\n             10              8010  msg\n"
        #expect(try load(Array(nasm.utf8)) == ["start": 0x7C00, "msg": 0x8010])
    }

    /// An ELF file of one symbol table.
    private func elf(_ wide: Bool) -> [UInt8] {
        var file = [UInt8](repeating: 0, count: 1024)
        func put(_ at: Int, _ value: UInt64, _ count: Int) { for n in 0..<count { file[at + n] = UInt8(truncatingIfNeeded: value >> UInt64(8 * n)) } }
        file.replaceSubrange(0..<7, with: [0x7F, 0x45, 0x4C, 0x46, wide ? 2 : 1, 1, 1])
        put(wide ? 40 : 32, 512, wide ? 8 : 4)
        put(wide ? 58 : 46, wide ? 64 : 40, 2)
        put(wide ? 60 : 48, 3, 2)
        // Section 1: symbols at 256; section 2: names at 384.
        for (n, type, offset, size) in [(1, 2, 256, wide ? 48 : 32), (2, 3, 384, 32)] as [(Int, UInt64, UInt64, Int)] {
            let at = 512 + n * (wide ? 64 : 40)
            put(at + 4, type, 4)
            put(at + (wide ? 24 : 16), offset, wide ? 8 : 4)
            put(at + (wide ? 32 : 20), UInt64(size), wide ? 8 : 4)
            put(at + (wide ? 40 : 24), 2, 4)
            put(at + (wide ? 56 : 36), wide ? 24 : 16, wide ? 8 : 4)
        }
        file.replaceSubrange(385..<397, with: Array("start_kernel".utf8))
        let at = 256 + (wide ? 24 : 16)
        put(at, 1, 4)
        put(at + (wide ? 4 : 12), 2, 1)
        put(at + (wide ? 6 : 14), 1, 2)
        put(at + (wide ? 8 : 4), 0xC100_0000, wide ? 8 : 4)
        return file
    }

    @Test("ELF of both widths", arguments: [false, true])
    func elfFiles(wide: Bool) throws { #expect(try load(elf(wide)) == ["start_kernel": 0xC100_0000]) }

    @Test("a damaged ELF file is read as far as it goes", arguments: [false, true])
    func damaged(wide: Bool) {
        let good = elf(wide)
        var seed: UInt64 = 7
        for round in 0..<4000 {
            var bytes = good
            for _ in 0..<(1 + round % 6) {
                seed = seed &* 6_364_136_223_846_793_005 &+ 1
                // Most damage goes where the numbers are.
                let at = round % 2 == 0 ? Int(seed >> 40) % 64 : 256 + Int(seed >> 40) % 512
                bytes[at] = round % 3 == 0 ? 0xFF : UInt8(truncatingIfNeeded: seed >> 50)
            }
            if round % 7 == 0 { bytes = Array(bytes.prefix(Int(seed >> 45) % 1024)) }
            let found = bytes.withUnsafeBytes { ELFSymbols($0).symbols }
            #expect(found.count < 100)
        }
    }

    @Test("names and addresses lead to each other") func table() {
        var table = SymbolTable()
        table.add([(0xC100_0000, "start_kernel"), (0xC100_0400, "rest_init"), (0x7C00, "start")])
        #expect(table.text(0xC100_0010) == "start_kernel+0x10" && table.text(0xC100_0400) == "rest_init" && table.address("start") == 0x7C00)
        #expect(table.label(0xC100_0001) == nil && table.text(0x7BFF) == nil && table.text(0xF000_0000) == nil)
        #expect(table.names("st", limit: 10) == ["start", "start_kernel"])
    }

    @Test("a file without symbols, a folder and nothing at all are told") func refused() {
        for path in ["/", "/nowhere/at/all", "/dev/null"] { #expect(throws: MachineError.self) { try SymbolFile.load(path) } }
        #expect(throws: MachineError.self) { try load([0x7F, 0x45, 0x4C, 0x46]) }
    }
}
