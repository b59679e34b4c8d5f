import CannedMachine
import Machine
import Panels
import Terminal
import Testing

@Suite("golden screens") struct GoldenScreenTests {
    static let sizes = [Size(width: 80, height: 24), Size(width: 80, height: 25), Size(width: 132, height: 43), Size(width: 30, height: 7)]

    @Test("the guest's screen at every size", arguments: CannedMachine.Scene.allCases, sizes)
    func scenes(scene: CannedMachine.Scene, size: Size) throws {
        var model = try sampleModel(scene: scene)
        model.resize(size, at: 0)
        try expectGolden(planes(model.draw(at: 0)), "\(scene.rawValue)-\(size.width)x\(size.height)")
    }

    @Test(
        "what lies over it, at 80x25", arguments: [ActionID.help, .menu, .palette, .sendKeys, .powerOff, .quit, .typeText, .chooseTheme, .drives],
        [true, false])
    func overlays(id: ActionID, captured: Bool) throws {
        var model = try sampleModel(captured: captured)
        model.run(id)
        try expectGolden(planes(model.draw(at: 0)), "\(id.rawValue)-\(captured ? "guest" : "user")")
    }

    @Test(
        "overlays at sizes that hardly hold them", arguments: [ActionID.help, .menu, .powerOff, .typeText],
        [Size(width: 40, height: 8), Size(width: 132, height: 43)])
    func overlaysAtSizes(id: ActionID, size: Size) throws {
        var model = try sampleModel()
        model.resize(size, at: 0)
        model.run(id)
        try expectGolden(planes(model.draw(at: 0)), "\(id.rawValue)-\(size.width)x\(size.height)")
    }

    @Test("all 256 glyphs are on the screen as their characters")
    func glyphs() throws {
        let surface = try sampleModel(scene: .glyphs).draw(at: 0)
        for code in 0..<256 {
            let cell = surface[code % 16 * 3 + 2, code / 16 + 1]
            #expect(cell == Cell(scalar: Glyphs.scalar(UInt8(code)), ink: Ink(attribute: 0x07)), "0x\(String(code, radix: 16))")
        }
    }

    @Test("all 256 attributes are on the screen as they are")
    func attributes() throws {
        let surface = try sampleModel(scene: .attributes).draw(at: 0)
        for attribute in 0..<256 {
            let x = attribute % 16 * 3 + 2, y = attribute / 16 + 1
            #expect(surface[x, y] == Cell(scalar: 0x41, ink: Ink(attribute: UInt8(attribute))))
            #expect(surface[x + 1, y].ink == Ink(attribute: UInt8(attribute)))
        }
    }

    @Test("no overlay draws outside a screen of any size", arguments: [1, 8, 15, 29, 43, 60], [1, 5, 9, 14, 30])
    func anySize(width: Int, height: Int) throws {
        for id in [ActionID.help, .menu, .palette, .sendKeys, .powerOff, .quit, .typeText] {
            var model = try sampleModel(scene: .big)
            model.resize(Size(width: width, height: height), at: 0)
            model.run(id)
            let surface = model.draw(at: 0)
            #expect(surface.cells.count == width * height)
        }
    }
}
