import Testing

@testable import Machine

@Suite("debugger · expressions") struct ExpressionTests {
    /// Registers, symbols and memory that are written down here.
    struct Canned: ExpressionContext {
        func register(_ name: String) -> UInt64? { ["eax": 0x1234, "ax": 0x1234, "esp": 0x100, "zf": 1, "cs": 0xB800][name.lowercased()] }
        func marked(_ name: String) -> UInt64? { name == "cf" ? 1 : register(name) }
        func symbol(_ name: String) -> UInt64? { ["start_kernel": 0xC100_0000, "eax": 7, "face": 0xFACE_0000][name] }
        func linear(selector: UInt64, offset: UInt64) -> UInt64? { selector <= 0xFFFF ? selector << 4 &+ offset : nil }
        func base(ofSegment name: String) -> UInt64? { name == "cs" ? 0xB_8000 : name == "ds" ? 0x1000 : nil }
        func load(_ address: UInt64, bytes: Int, physical: Bool) -> UInt64? {
            guard address < 0x10_0000 else { return nil }
            let value = address &* 0x0101 &+ (physical ? 1 : 0)
            return bytes == 8 ? value : value & ((1 << UInt64(8 * bytes)) - 1)
        }
        var wordBytes: Int { 4 }
    }

    @Test(
        "values",
        arguments: [
            ("10", 10), ("0x10", 16), ("10h", 16), ("0b101", 5), ("0n10", 10), ("0o17", 15), ("'A'", 65), ("7c00", 0x7C00), ("fah", 0xFA), ("1+2*3", 7),
            ("(1+2)*3", 9), ("-1", .max), ("~0 == -1", 1), ("!5", 0), ("not 0", .max), ("1 << 4 | 1", 17), ("1 shl 64", 0), ("5 mod 3", 2), ("7 % 4", 3),
            ("eax", 0x1234), ("%eax", 0x1234), ("$cf", 1), ("cf", 0xCF), ("eax == 1234h && zf", 1), ("start_kernel+0x10", 0xC100_0010), ("face", 0xFACE_0000),
            ("f000:fff0", 0xF_FFF0), ("0:7c00", 0x7C00), ("b800:10+2", 0xB_8012), ("cs:10", 0xB_8010), ("0:10 == 0x10", 1), ("[10]", 0xA0A),
            ("byte [0x20]", 0x20),
            ("word ptr ds:[4]", 0x1404), ("phys:[16]", 0x1011), ("[[1]]", 0x101 * 0x101), ("1 || [0xffffffffff]", 1), ("0 && [0xffffffffff]", 0), ("3 = 3", 1),
            ("2 >= 3", 0), ("-1 > 0", 1), ("18446744073709551615 + 1", 0),
        ] as [(String, UInt64)])
    func values(text: String, value: UInt64) throws { #expect(try Expression(text).value(Canned()) == value) }

    @Test("numbers are hexadecimal where DOSBox has them so") func radix() throws {
        #expect(try Expression("10", radix: 16).value(Canned()) == 16)
        #expect(try Expression("10 + 0n10", radix: 16).value(Canned()) == 26)
    }

    @Test(
        "mistakes are told in a sentence",
        arguments: [
            "", "1 +", "(1", "1)", "[1", "nothing_there", "1 / 0", "1 % 0", "[0xffffffffff]", "12z", "0xg", "99999999999999999999", "1 2", "ds:", "#", "$",
            "'A",
            "es:[1]", "12345:0", "a b", "\u{0}",
        ])
    func mistakes(text: String) {
        do throws(ExpressionError) {
            let value = try Expression(text).value(Canned())
            Issue.record("'\(text)' is \(value)")
        } catch { #expect(error.sentence.hasSuffix(".") && error.sentence.count > 10) }
    }

    @Test("what is nested, long or noise neither traps nor takes long") func hostile() {
        for text in [
            String(repeating: "(", count: 1000), String(repeating: "-", count: 1000),
            String(repeating: "[", count: 900) + "1", String(repeating: "1+", count: 500) + "1",
            String(repeating: "a:", count: 500), String(repeating: "!", count: 5000), String(repeating: "1||", count: 300) + "1",
        ] { _ = try? Expression(text).value(Canned()) }
        var seed: UInt64 = 1
        let alphabet = Array("0123456789abcdefxhnzeax :[]()+-*/%&|^~!<>=$'byteword,.#\u{e9}")
        for _ in 0..<20_000 {
            var text = ""
            for _ in 0..<Int(seed >> 60) {
                seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                text.append(alphabet[Int(seed >> 33) % alphabet.count])
            }
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            for radix in [10, 16] { _ = try? Expression(text, radix: radix).value(Canned()) }
        }
    }

    @Test("lines of a log") func log() throws {
        #expect(LogFormat.line("eax={eax} {eax:d} {65:c}!", Canned()) == "eax=1234 4660 A!")
        #expect(LogFormat.line("{nothing} {1/0}", Canned()) == "? ?")
        #expect(throws: ExpressionError.self) { try LogFormat("{eax") }
        #expect(throws: ExpressionError.self) { try LogFormat("{}") }
    }
}
