import Foundation
import Testing

private let probeIsMissing: String? = FileManager.default.isExecutableFile(atPath: probe) ? nil : "consoleprobe is not built"

@Suite("terminal protocols", .enabled(if: probeIsMissing == nil, "\(probeIsMissing ?? "")"), .serialized) struct TerminalProtocolTests {
    private static let xterm = ["\u{1B}[c": "\u{1B}[?64;1;2c", "\u{1B}[5n": "\u{1B}[0n"]
    private static let kitty = [
        "\u{1B}[c": "\u{1B}[?62;c", "\u{1B}[5n": "\u{1B}[0n", "\u{1B}[?2026$p": "\u{1B}[?2026;2$y", "\u{1B}[?u": "\u{1B}[?31u",
        "\u{1B}[>0q": "\u{1B}P>|kitty(0.26.5)\u{1B}\\",
    ]

    @Test("kitty: flags are pushed inside the alternate screen and popped before it is left; pictures are bracketed")
    func kittyOrder() throws {
        let t = try FakeTerminal(answers: Self.kitty)
        #expect(t.sees("Guest has"))
        let alternate = try #require(t.position("\u{1B}[?1049h")), push = try #require(t.position("\u{1B}[>31u"))
        #expect(alternate < push)
        #expect(t.position("\u{1B}[?2026h") != nil)
        #expect(t.position("\u{1B}[>4;2m") == nil)
        t.terminate()
        #expect(eventually { t.hasEnded })
        let pop = try #require(t.position("\u{1B}[<u")), main = try #require(t.position("\u{1B}[?1049l"))
        #expect(pop < main)
    }

    @Test("kitty: presses and releases reach the guest as they are, bare modifiers too")
    func kittyKeys() throws {
        let t = try FakeTerminal(answers: Self.kitty)
        #expect(t.sees("Guest has"))
        // The flags are confirmed before the first key counts.
        t.send("\u{1B}[?31u")
        t.send("\u{1B}[57442u\u{1B}[57443;5u\u{1B}[3;7~\u{1B}[3;7:3~\u{1B}[57443;7:3u\u{1B}[57442;5:3u")
        #expect(eventually { t.logged == ["+leftCtrl", "+leftAlt", "+delete", "-delete", "-leftAlt", "-leftCtrl"] }, "\(t.logged)")
        t.send("\u{1B}[57448u\u{1B}[57448;5:3u")
        #expect(eventually { t.logged.suffix(2) == ["+rightCtrl", "-rightCtrl"] })
        t.send("\u{1B}[97;;97u\u{1B}[O")
        #expect(eventually { t.logged.suffix(2) == ["+a", "-a"] }, "losing the focus releases what is down")
    }

    @Test("xterm: modifyOtherKeys is asked for and understood")
    func xterm() throws {
        let t = try FakeTerminal(answers: Self.xterm)
        #expect(t.sees("Guest has"))
        #expect(t.sees("\u{1B}[>4;2m"))
        #expect(t.position("\u{1B}[>31u") == nil && t.position("\u{1B}[?2026h") == nil)
        t.send("\u{1B}[27;5;105~")
        #expect(eventually { t.logged == ["+leftCtrl", "+i", "-i", "-leftCtrl"] })
    }

    @Test("everything switched on is switched off again", arguments: [true, false])
    func modes(kitty: Bool) throws {
        let t = try FakeTerminal(answers: kitty ? Self.kitty : Self.xterm)
        #expect(t.sees("Guest has"))
        t.terminate()
        #expect(eventually { t.hasEnded })
        let output = t.output
        // Automatic margins and the visible cursor are how a terminal is by default.
        for match in output.matches(of: /\u{1B}\[\?(\d+)h/) where !["7", "25"].contains(match.output.1) {
            #expect(output[match.range.upperBound...].contains("\u{1B}[?\(match.output.1)l"), "mode \(match.output.1) stays on")
        }
        if output.contains("\u{1B}[>4;2m") { #expect(output.contains("\u{1B}[>4m")) }
    }

    @Test("a terminal that answers nothing gets its picture within a second, and goes on getting it")
    func silent() throws {
        let t = try FakeTerminal()
        let start = Date()
        #expect(t.sees("Guest has"))
        #expect(Date().timeIntervalSince(start) < 3)
        for letter in "abcdef" {
            t.send(String(letter))
            usleep(100_000)
        }
        #expect(eventually { t.logged.count == 12 })
        let before = t.outputCount
        t.send("g")
        #expect(eventually(5) { t.outputCount > before })
    }

    @Test("a late answer is no key")
    func lateAnswers() throws {
        let t = try FakeTerminal()
        #expect(t.sees("Guest has"))
        t.send("\u{1B}[?64;1;2c\u{1B}P>|late\u{1B}\\\u{1B}[?2026;0$y\u{1B}[0nx")
        #expect(eventually { t.logged == ["+x", "-x"] }, "\(t.logged)")
    }

    @Test("with COLORTERM=truecolor the VGA's colours are exact, a changed palette too")
    func trueColour() throws {
        let t = try FakeTerminal(["--scene", "palette"], variables: ["COLORTERM": "truecolor"], answers: Self.xterm)
        #expect(t.sees("tinted"))
        #expect(t.sees("38;2;224;208;192") && t.sees("48;2;32;64;64") == false && t.sees("48;2;32;48;64"))
    }

    @Test("on the Linux console no private sequence is sent")
    func linuxConsole() throws {
        let t = try FakeTerminal(term: "linux")
        #expect(t.sees("Guest has"))
        #expect(t.position("\u{1B}[?2004h") == nil && t.position("\u{1B}[>4;2m") == nil && t.position("\u{1B}[c") == nil)
        t.send("\u{1B}[[A")
        #expect(eventually { t.logged == ["+f1", "-f1"] })
    }

    @Test("the cursor's shape follows the guest and is given back")
    func cursorShape() throws {
        let t = try FakeTerminal(answers: Self.xterm)
        #expect(t.sees("\u{1B}[3 q"))
        t.terminate()
        #expect(eventually { t.hasEnded })
        #expect(t.output.contains("\u{1B}[0 q"))
    }

    @Test("a key is on the screen in under 30 ms, in the median")
    func latency() throws {
        let t = try FakeTerminal(answers: Self.xterm)
        #expect(t.sees("Guest has"))
        var best = Double.infinity
        // Other work on the host may spoil a round; not three.
        for _ in 0..<3 where best >= 0.030 {
            var times: [Double] = []
            for i in 0..<40 {
                let before = t.outputCount, start = Date()
                t.send(i % 2 == 0 ? "a" : "b")
                while t.outputCount == before, Date().timeIntervalSince(start) < 1 { usleep(200) }
                times.append(Date().timeIntervalSince(start))
                usleep(20_000)
            }
            best = min(best, times.sorted()[times.count / 2])
        }
        #expect(best < 0.030)
    }
}
