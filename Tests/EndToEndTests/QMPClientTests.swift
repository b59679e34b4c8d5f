import Foundation
import Testing

/// Python with qemu.qmp; `Tests/qmp-client.sh` installs it where it can.
private let python: String? = {
    let environment = ProcessInfo.processInfo.environment
    let cache = environment["XDG_CACHE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? (environment["HOME"] ?? "/tmp") + "/.cache"
    return [cache + "/vitrine/qmp-client/bin/python3", "python3"].first {
        (try? shell([$0, "-c", "import qemu.qmp"]))?.status == 0
    }
}()

@Suite("QEMU's own client", .enabled(if: python != nil, "Python's qemu.qmp is not installed: Tests/qmp-client.sh fetches it")) struct QMPClientTests {
    private static let program = """
        import asyncio, sys
        from qemu.qmp import QMPClient
        from qemu.qmp.qmp_client import ExecuteError
        async def event(listener, name):
            while True:
                message = await asyncio.wait_for(listener.get(), 20)
                if message['event'] == name:
                    return message
        async def main():
            client = QMPClient('test')
            await client.connect(sys.argv[1])
            with client.listener() as listener:
                assert (await client.execute('query-status'))['running']
                await client.execute('stop')
                stop = await event(listener, 'STOP')
                assert stop['timestamp']['seconds'] > 0
                assert (await client.execute('query-status'))['status'] == 'paused'
                await client.execute('cont')
                await event(listener, 'RESUME')
                await client.execute('send-key', {'keys': [{'type': 'qcode', 'data': 'x'}]})
                await client.execute('x-vitrine-wait-for', {'pattern': '^h$', 'seconds': 20})
                await client.execute('screendump', {'filename': sys.argv[2]})
                with open(sys.argv[2], 'rb') as file:
                    assert file.read(2) == b'P6'
                names = [c['name'] for c in await client.execute('query-commands')]
                assert 'system_powerdown' in names
                block = await client.execute('query-block')
                assert any(b['device'] == 'floppy0' and 'inserted' in b for b in block)
                assert 'running' in await client.execute('human-monitor-command', {'command-line': 'info status'})
                try:
                    await client.execute('no-such-command')
                    assert False
                except ExecuteError as error:
                    assert error.error_class == 'CommandNotFound'
                await client.execute('system_powerdown')
                await event(listener, 'POWERDOWN')
                await client.execute('quit')
                shutdown = await event(listener, 'SHUTDOWN')
                assert shutdown['data']['guest'] is False
            print('all well')
        asyncio.run(main())
        """

    @Test("qemu.qmp drives a running machine: status, stop, cont, keys, screendump, power button, events, quit") func drives() throws {
        let python = try #require(python)
        try StoredGuest.with { guest in
            try guest.start()
            let file = guest.home + "/client.py"
            try Data((QMPClientTests.program + "\n").utf8).write(to: URL(fileURLWithPath: file))
            let result = try shell([python, file, guest.home + "/m/control.sock", guest.home + "/dump.ppm"])
            #expect(result.output.contains("all well"), "\(result.output)")
            #expect(eventually { !guest.isRunning })
        }
    }
}
